/** coldproof-queue: what waits at the agent (output 1) and each receipt of the oracle (output 2). */
import { connectionOf, statusOf } from './agent.cts';
import type { Node, NodeConfig, Runtime } from './runtime.cts';

type QueueConfig = NodeConfig & { readonly agent: string; readonly device?: string };
type Queue = { readonly unsealed: number; readonly queued: number; readonly sealed: number; readonly receipts: number };

export default function register(RED: Runtime): void {
  RED.nodes.registerType('coldproof-queue', function (this: Node, config: QueueConfig) {
    RED.nodes.createNode(this, config);
    const queues = new Map<string, Queue>();
    const connection = connectionOf(RED, this, config.agent);
    const leave = connection?.join({
      onState: (state) => this.status(statusOf(state, connectedText(queues))),
      onMessage: ([device = '', kind], message) => {
        if (config.device && device !== config.device) return;
        if (kind === 'receipts') this.send([null, { topic: device, payload: message }]);
        if (kind !== 'queue') return;
        queues.set(device, message as Queue);
        this.status(statusOf({ kind: 'connected' }, connectedText(queues)));
        this.send([{ topic: device, payload: message }, null]);
      },
    });
    // Any message asks for the present state.
    this.on('input', (_message, send, done) => {
      for (const [topic, payload] of queues) send([{ topic, payload }, null]);
      done(queues.size > 0 ? undefined : 'the agent has not told its queue yet');
    });
    this.on('close', (done) => {
      leave?.();
      done();
    });
  });
}

function connectedText(queues: ReadonlyMap<string, Queue>): string {
  if (queues.size === 0) return 'connected';
  const all = [...queues.values()];
  const sum = (count: (queue: Queue) => number) => all.reduce((total, each) => total + count(each), 0);
  return `${sum(({ queued }) => queued)} queued, ${sum(({ receipts }) => receipts)} receipts`;
}
