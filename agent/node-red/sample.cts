/** coldproof-sample: any flow's message becomes a sample of a channel; it goes on once the agent has it on its disk. */
import { inspect } from 'node:util';
import { connectionOf, statusOf } from './agent.cts';
import type { ConnectionState, Sample } from './connection.cts';
import type { Message, Node, NodeConfig, Runtime } from './runtime.cts';

type SampleConfig = NodeConfig & {
  readonly agent: string;
  readonly device?: string;
  readonly channel?: string;
  readonly unit?: string;
};

export default function register(RED: Runtime): void {
  RED.nodes.registerType('coldproof-sample', function (this: Node, config: SampleConfig) {
    RED.nodes.createNode(this, config);
    const connection = connectionOf(RED, this, config.agent);
    let state: ConnectionState = { kind: 'connecting' };
    let journaled = 0;
    const show = () => {
      const waiting = connection?.waiting ?? 0;
      const { text, ...look } = statusOf(state, `${journaled} journaled`);
      this.status({ ...look, text: waiting === 0 ? text : `${text}, ${waiting} waiting` });
    };
    const leave = connection?.join({
      onState: (next) => {
        state = next;
        show();
      },
    });
    this.on('input', (message, send, done) => {
      if (connection === undefined) {
        done('no agent configured');
        return;
      }
      const sample = readSample(message, config, Date.now());
      if (typeof sample === 'string') {
        done(sample);
        return;
      }
      connection.send(sample).then(
        (device) => {
          journaled += 1;
          show();
          send({ ...message, sample: { ...sample, device } });
          done();
        },
        (error: unknown) => done((error as Error).message),
      );
      if (state.kind !== 'connected') show();
    });
    this.on('close', (done) => {
      leave?.();
      done();
    });
  });
}

/** A sample, or what is wrong with the message. What the node is set to goes before what the message says. */
function readSample(message: Message, config: SampleConfig, nowMs: number): Sample | string {
  const { payload } = message;
  const isValue = payload === null || typeof payload === 'boolean' || Number.isFinite(payload);
  if (!isValue) return `payload: expected a number, a boolean, or null for a fault, got ${describe(payload)}`;
  const texts: { [field: string]: string } = {};
  for (const field of ['device', 'channel', 'unit'] as const) {
    const text = config[field] || (message[field] ?? '');
    if (typeof text !== 'string') return `${field}: expected text, got ${describe(text)}`;
    texts[field] = text;
  }
  const { device = '', channel = '', unit = '' } = texts;
  if (channel === '') return 'channel: expected one in the node or in msg.channel, got nothing';
  const timeMs = readTimeMs(message['time'], nowMs);
  if (Number.isNaN(timeMs)) {
    return `time: expected milliseconds since 1970, a Date or ISO 8601, got ${describe(message['time'])}`;
  }
  const value = payload as number | boolean | null;
  return { device, channel, value, timeSec: timeMs / 1_000, unit: unit === '' ? undefined : unit };
}

/** NaN for what is no time. */
function readTimeMs(time: unknown, nowMs: number): number {
  if (time === undefined) return nowMs;
  if (typeof time === 'number' && Number.isFinite(time)) return time;
  if (time instanceof Date) return time.getTime();
  return typeof time === 'string' && /^\d{4}-\d\d-\d\dT.*(Z|[+-]\d\d:\d\d)$/.test(time) ? Date.parse(time) : Number.NaN;
}

function describe(value: unknown): string {
  return `${typeof value} ${inspect(value, { depth: 0 })}`.slice(0, 80);
}
