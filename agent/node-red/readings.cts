/** coldproof-readings: a message for each reading that the agent has journaled, whatever kind of sensor it is from. */
import { connectionOf, statusOf } from './agent.cts';
import type { Node, NodeConfig, Runtime } from './runtime.cts';

type ReadingsConfig = NodeConfig & { readonly agent: string; readonly device?: string; readonly channel?: string };

type Reading = {
  readonly channel: string;
  /** Unix seconds. */
  readonly time: number;
  readonly value: number | null;
  readonly unit: string;
  readonly marks: readonly string[];
};

export default function register(RED: Runtime): void {
  RED.nodes.registerType('coldproof-readings', function (this: Node, config: ReadingsConfig) {
    RED.nodes.createNode(this, config);
    const leave = connectionOf(RED, this, config.agent)?.join({
      onState: (state) => this.status(statusOf(state)),
      onMessage: ([device, kind], message) => {
        if (kind !== 'readings' || !chooses(config.device, device!)) return;
        for (const reading of message as readonly Reading[]) {
          if (chooses(config.channel, reading.channel)) this.send(messageOf(device!, reading));
        }
      },
    });
    this.on('close', (done) => {
      leave?.();
      done();
    });
  });
}

/** Nothing chosen means all. */
function chooses(chosen: string | undefined, name: string): boolean {
  return chosen === undefined || chosen === '' || chosen === name;
}

function messageOf(device: string, { channel, time, value, unit, marks }: Reading) {
  return { topic: `${device}/${channel}`, payload: value, device, channel, unit, marks, time: time * 1_000 };
}
