/** coldproof-agent, the configuration node: where the agent's local broker is, and who we are there. */
import { AgentConnection, type ConnectionState } from './connection.cts';
import type { Node, NodeConfig, NodeStatus, Runtime } from './runtime.cts';

export type AgentNode = Node & {
  readonly credentials?: { readonly username?: string; readonly password?: string };
  /** Undefined when the configuration has a problem, which the node has told. */
  connection?: AgentConnection;
};

type AgentConfig = NodeConfig & { readonly host?: string; readonly port?: string | number };

export default function register(RED: Runtime): void {
  RED.nodes.registerType(
    'coldproof-agent',
    function (this: AgentNode, config: AgentConfig) {
      RED.nodes.createNode(this, config);
      const { username = '', password = '' } = this.credentials ?? {};
      const host = config.host?.trim() ?? '';
      const port = Number(config.port);
      const problems = [
        ...(/^[A-Za-z0-9.:-]{1,253}$/.test(host) ? [] : [`host: expected a name or an address, got "${host}"`]),
        ...(Number.isInteger(port) && port >= 1 && port <= 65_535 ? [] : [`port: expected 1 to 65535, got ${port}`]),
        ...(username === '' ? ['username: expected a user of sensorBroker.credentials, got nothing'] : []),
        ...(password === '' ? ['password: expected that of the user, got nothing'] : []),
      ];
      if (problems.length > 0) {
        this.error(`coldproof-agent: ${problems.join('; ')}`);
        return;
      }
      const connection = new AgentConnection({ host, port, username, password });
      this.connection = connection;
      connection.join({ onState: (state) => tellAway(this, state) });
      this.on('close', (done) => void connection.close().then(done));
    },
    { credentials: { username: { type: 'text' }, password: { type: 'password' } } },
  );
  // For the editor: what can be chosen, as the deployed agent has told it.
  RED.httpAdmin.get(
    '/coldproof-agent/:id/channels',
    RED.auth.needsPermission('coldproof-agent.read'),
    (request, response) => {
      const node = RED.nodes.getNode(request.params['id'] ?? '') as AgentNode | null;
      const channels = node?.connection?.channels;
      if (channels === undefined) response.status(404).json({ error: 'not deployed, or the agent is away' });
      else response.json(channels);
    },
  );
}

/** Once for each time that it goes, not for each try. */
function tellAway(node: AgentNode & { isAway?: boolean }, state: ConnectionState): void {
  if (state.kind === 'away' && node.isAway !== true) node.warn(`agent away: ${state.why}`);
  if (state.kind !== 'connecting') node.isAway = state.kind === 'away';
}

/** The connection of the agent that a node names; says so at the node when there is none. */
export function connectionOf(RED: Runtime, node: Node, agent: string): AgentConnection | undefined {
  const { connection } = (RED.nodes.getNode(agent) as AgentNode | null) ?? {};
  if (connection === undefined) node.status({ fill: 'red', shape: 'ring', text: 'no agent configured' });
  return connection;
}

export function statusOf(state: ConnectionState, connected = 'connected'): NodeStatus {
  if (state.kind === 'connected') return { fill: 'green', shape: 'dot', text: connected };
  if (state.kind === 'connecting') return { fill: 'grey', shape: 'ring', text: 'connecting' };
  return { fill: 'red', shape: 'ring', text: `agent away: ${state.why}`.slice(0, 80) };
}
