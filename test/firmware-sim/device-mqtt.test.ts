/** Nothing leaves the outbox before its PUBACK, whatever the gateway does; and nothing overtakes. */
import { createServer, type AddressInfo, type Server } from 'node:net';
import { once } from 'node:events';
import t, { type Test } from 'tap';
import { realClock, type Clock } from '@coldproof/firmware-sim/clock';
import { openLink, runMqttDevice, type Broker } from '@coldproof/firmware-sim/device-mqtt';
import { Outbox } from '@coldproof/firmware-sim/outbox';
import { Random } from '@coldproof/firmware-sim/random';
import { seeded } from '../helpers/seed.ts';
import { GatewayStub, type Answer } from './gateway-stub.ts';

/** Back-off without its length, so that a hundred lost links take no time; how long it is, its own test says. */
const impatient: Clock = { nowMs: () => Date.now(), wait: (_ms, signal) => realClock.wait(1, signal) };

function startDevice(t: Test, outbox: Outbox, broker: Omit<Broker, 'clientId'>) {
  const stop = new AbortController();
  const events: string[] = [];
  let onEvent: (() => void) | undefined;
  const running = runMqttDevice(
    {
      realClock: impatient,
      random: Random.fromSeed(1),
      log: (_level, event) => {
        events.push(event);
        onEvent?.();
      },
      openLink: (signal) => openLink({ ...broker, clientId: 'sensors-test' }, signal),
    },
    'sensors/TRUCK-7',
    outbox,
    stop.signal,
  );
  const end = async (): Promise<void> => {
    stop.abort();
    await running;
  };
  const until = async (event: string): Promise<void> => {
    while (!events.includes(event)) await new Promise<void>((resolve) => (onEvent = resolve));
  };
  t.teardown(end);
  return { events, end, until };
}

function filled(count: number): { outbox: Outbox; payloads: string[] } {
  const outbox = new Outbox();
  const payloads = Array.from({ length: count }, (_, i) => `message ${i}`);
  for (const payload of payloads) outbox.add(Buffer.from(payload));
  return { outbox, payloads };
}

const never = new AbortController().signal;
const emptied = (outbox: Outbox): Promise<void> => outbox.until((size) => size === 0, never);

async function startGateway(t: Test, options: ConstructorParameters<typeof GatewayStub>[0] = {}): Promise<GatewayStub> {
  const gateway = new GatewayStub(options);
  await gateway.start();
  t.teardown(() => gateway.stop());
  return gateway;
}

/** Takes connections and never says a word. */
async function startMute(t: Test): Promise<{ mute: Server; port: number }> {
  const mute = createServer((socket) => socket.resume());
  mute.listen(0, '127.0.0.1');
  await once(mute, 'listening');
  t.teardown(() => new Promise<void>((resolve) => mute.close(() => resolve())));
  return { mute, port: (mute.address() as AddressInfo).port };
}

t.test('over a good link all arrive once, in order, on one connection', async (t) => {
  const gateway = await startGateway(t);
  const { outbox, payloads } = filled(200);
  startDevice(t, outbox, { url: gateway.url });
  await emptied(outbox);
  t.same(gateway.received, payloads);
  t.equal(gateway.connections, 1);
});

t.test('links lost with the PUBACK owing: sent again, in order, none missing', async (t) => {
  const random = seeded(t, 31);
  const gateway = await startGateway(t, {
    answer: () => random.pick<Answer>(['acknowledge', 'acknowledge', 'hang-up']),
  });
  const { outbox, payloads } = filled(100);
  startDevice(t, outbox, { url: gateway.url });
  await emptied(outbox);
  t.same(gateway.acknowledged, payloads, 'acknowledged once each, in order');
  t.ok(gateway.connections > 10, `${gateway.connections} connections`);
  t.equal(gateway.received.length, payloads.length + gateway.connections - 1, 'each lost link cost one repeat');
});

t.test('a gateway that keeps the line and never answers is left, and asked again', async (t) => {
  let muted = 0;
  const gateway = await startGateway(t, { answer: () => (muted++ < 3 ? 'mute' : 'acknowledge') });
  const { outbox, payloads } = filled(2);
  const { events } = startDevice(t, outbox, { url: gateway.url, answerMsMax: 100 });
  await emptied(outbox);
  t.same(gateway.acknowledged, payloads);
  t.ok(events.filter((event) => event === 'acknowledgement-late').length >= 3, events.join());
});

t.test('the gateway is down, comes back on its port, and finds all that was measured meanwhile', async (t) => {
  const gateway = await startGateway(t);
  const outbox = new Outbox();
  const { events } = startDevice(t, outbox, { url: gateway.url });
  const payloads: string[] = [];
  for (let round = 0; round < 4; round++) {
    for (let i = 0; i < 50; i++) {
      payloads.push(`${round}.${i}`);
      outbox.add(Buffer.from(payloads.at(-1)!));
    }
    if (round % 2 === 1) await gateway.start();
    await (round % 2 === 0 ? emptied(outbox).then(() => gateway.stop()) : emptied(outbox));
  }
  t.same(gateway.acknowledged, payloads);
  t.ok(events.filter((event) => event === 'broker-connected').length >= 2, events.join());
});

t.test('a refused password is said as such, and tried again', async (t) => {
  const gateway = await startGateway(t, { password: 'right' });
  const { outbox, payloads } = filled(3);
  const { events } = startDevice(t, outbox, { url: gateway.url, username: 'TRUCK-7', password: 'new' });
  await gateway.until(() => gateway.connections >= 3);
  t.ok(events.includes('broker-refused'), events.join());
  t.notOk(events.includes('broker-connected'));
  t.equal(outbox.size, 3);
  gateway.setPassword('new');
  await emptied(outbox);
  t.same(gateway.received, payloads);
});

t.test('it stops at once in every state', async (t) => {
  const { mute, port } = await startMute(t);
  const asked = once(mute, 'connection');
  const connecting = startDevice(t, filled(1).outbox, { url: `mqtt://127.0.0.1:${port}` });
  await asked;
  await connecting.end();

  const gateway = await startGateway(t, { answer: () => 'mute' });
  const waiting = filled(1);
  const publishing = startDevice(t, waiting.outbox, { url: gateway.url });
  await gateway.until(() => gateway.received.length === 1);
  await publishing.end();
  t.equal(waiting.outbox.size, 1, 'what is not acknowledged stays');

  const idle = startDevice(t, new Outbox(), { url: gateway.url });
  await gateway.until(() => gateway.connections === 2);
  await idle.end();

  await gateway.stop();
  const unreachable = startDevice(t, filled(1).outbox, { url: gateway.url });
  await unreachable.until('broker-unreachable');
  await unreachable.end();
});

t.test('an answer to CONNECT that never comes ends the attempt', async (t) => {
  const { port } = await startMute(t);
  const broker = { url: `mqtt://127.0.0.1:${port}`, clientId: 'sensors-test', answerMsMax: 100 };
  await t.rejects(openLink(broker, never), { code: 'broker-unreachable', retry: 'later' });
});
