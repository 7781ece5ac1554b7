/** Each node in Node-RED's test runtime against a real agent: good and bad input, agent away, reconnect, close. */
import { once } from 'node:events';
import { createServer } from 'node:net';
import { Aedes } from 'aedes';
import t, { type Test } from 'tap';
import { connectAsync } from 'mqtt';
import type { RunningAgent } from '@coldproof/agent/agent';
import { freePort } from '@coldproof/oracle/demonstration/free-ports';
import { HandClock, sensorPassword, voyageStartSec } from '../agent/fixture.ts';
import { load, openTruck, testHelper, unloadNow, until, watch, type FlowMessage } from './fixture.ts';

const sampleFlow = [
  { id: 'sample', type: 'coldproof-sample', agent: 'agent', wires: [['out']] },
  { id: 'out', type: 'helper', wires: [] },
  { id: 'catch', type: 'catch', scope: ['sample'], wires: [['caught']] },
  { id: 'caught', type: 'helper', wires: [] },
];

function flowOf(type: string, settings: object = {}, outputs = 1) {
  const outs = Array.from({ length: outputs }, (_, i) => `out${i}`);
  return [
    { id: 'node', type, agent: 'agent', ...settings, wires: outs.map((id) => [id]) },
    ...outs.map((id) => ({ id, type: 'helper', wires: [] })),
  ];
}

/** A sensor of its own, beside Node-RED. */
async function sensorOf(t: Test, agent: RunningAgent) {
  const login = { username: 'TRUCK-7', password: sensorPassword, reconnectPeriod: 0 };
  const sensor = await connectAsync(`mqtt://127.0.0.1:${agent.brokerPort ?? 0}`, login);
  sensor.on('error', () => undefined);
  t.teardown(() => {
    sensor.end(true);
  });
  return (name: string, timeSec: number, value: object) =>
    sensor.publishAsync('sensors/TRUCK-7', JSON.stringify([{ n: `TRUCK-7/${name}`, t: timeSec, ...value }]), {
      qos: 1,
    });
}

t.test('sample: goes on when the agent has it on its disk; time, unit and place from node or message', async (t) => {
  const clock = new HandClock(voyageStartSec + 7_200);
  const truck = await openTruck(t, clock);
  const agent = await truck.start();
  await load(t, truck.port, sampleFlow);
  const out = watch('out');
  const sample = testHelper.getNode('sample');
  const inputs: FlowMessage[] = [
    { payload: 4.25, channel: 'cargo-probe-1', time: voyageStartSec * 1_000 },
    {
      payload: 41,
      channel: 'cargo-probe-1',
      unit: 'Far',
      time: new Date((voyageStartSec + 1) * 1_000),
      device: 'TRUCK-7',
    },
    { payload: null, channel: 'cargo-probe-1', time: '2026-01-01T01:00:02+01:00', kept: 'as it was' },
    { payload: true, channel: 'door', time: voyageStartSec * 1_000 + 2_500 },
  ];
  for (const input of inputs) sample.receive(input);
  await until(() => out.messages.length === 4, 'all go on');
  t.equal(agent.status().devices[0]!.unsealed, 4);
  t.match(out.messages[0], { payload: 4.25, sample: { device: 'TRUCK-7', timeSec: voyageStartSec, value: 4.25 } });
  t.match(out.messages[2], { payload: null, kept: 'as it was', sample: { timeSec: voyageStartSec + 2 } });
  t.same(agent.status().refused, {});
  for (let second = 3; second < 8; second++) {
    sample.receive({ payload: 5, channel: 'cargo-probe-1', time: (voyageStartSec + second) * 1_000 });
  }
  const { device } = agent.status().devices[0]!;
  // An invalid value has a mark of its own, and a batch ends where marks change.
  const values = (): number[] =>
    (truck.oracle.stored.get(device) ?? []).flatMap(({ series }) =>
      (series.find(({ channel }) => channel === 16)?.samples ?? []).map(({ value }) => value),
    );
  await until(() => values().length >= 5, 'batches at the oracle');
  t.same(values().slice(0, 5), [425, 500, -32_768, 500, 500]);
});

t.test('sample: what is no sample goes to a catch node, with field, bound and value, and harms nothing', async (t) => {
  const truck = await openTruck(t);
  const agent = await truck.start();
  await load(t, truck.port, sampleFlow);
  const caught = watch('caught');
  const rows: readonly [FlowMessage, RegExp][] = [
    [{ payload: '4.2', channel: 'door' }, /^payload: expected a number, .* got string '4\.2'/],
    [{ payload: Number.NaN, channel: 'door' }, /^payload: .* got number NaN/],
    [{ payload: Number.POSITIVE_INFINITY, channel: 'door' }, /^payload: .* Infinity/],
    [{ channel: 'door' }, /^payload: .* got undefined/],
    [{ payload: { value: 4 }, channel: 'door' }, /^payload: .* got object/],
    [{ payload: 4 }, /^channel: expected one in the node or in msg.channel, got nothing/],
    [{ payload: 4, channel: 7 }, /^channel: expected text, got number 7/],
    [{ payload: 4, channel: 'door', time: 'yesterday' }, /^time: .* got string 'yesterday'/],
    [{ payload: 4, channel: 'door', time: '2026-01-01T00:00:00' }, /^time: /],
    [{ payload: 4, channel: 'door', time: Number.NaN }, /^time: /],
    [{ payload: 4, channel: 'door', time: new Date('x') }, /^time: /],
    [{ payload: 4, channel: 'cargo-probe-9' }, /^channel: expected one of cargo-probe-1, door, got "cargo-probe-9"/],
    [{ payload: 4, channel: '__proto__' }, /^channel: expected one of/],
    [{ payload: 4, channel: 'door', device: 'TRUCK-8' }, /^device: expected one of TRUCK-7, got "TRUCK-8"/],
    [{ payload: 4, channel: 'cargo-probe-1', unit: 'V' }, /^unit: expected one of Cel, K, Far, got "V"/],
  ];
  for (const [message, pattern] of rows) {
    const before = caught.messages.length;
    testHelper.getNode('sample').receive(message);
    await until(() => caught.messages.length === before + 1, String(pattern));
    t.match(caught.messages[before], { error: { message: pattern } });
  }
  t.match(agent.status(), { refused: {}, devices: [{ unsealed: 0 }] });
});

t.test(
  'sample: while the agent is away they wait with their times; the 1001st is refused; a close tells them',
  async (t) => {
    const truck = await openTruck(t, new HandClock(voyageStartSec + 7_200));
    await load(t, truck.port, sampleFlow);
    const out = watch('out');
    const caught = watch('caught');
    const { text } = watch('sample');
    const sample = testHelper.getNode('sample');
    for (let i = 0; i < 1_001; i++) {
      sample.receive({ payload: i / 100, channel: 'cargo-probe-1', time: (voyageStartSec - 2_000 + i) * 1_000 });
    }
    await until(() => caught.messages.length === 1, 'the last is refused');
    t.match(caught.messages[0], { error: { message: /1000 samples wait already/ } });
    await until(() => /^agent away: .*ECONNREFUSED.*1000 waiting$/.test(text()), 'the node says so');
    let agent = await truck.start();
    await until(() => out.messages.length === 1_000, 'all arrive');
    t.match(agent.status().refused, {});
    await agent.stop();
    sample.receive({ payload: 50, channel: 'cargo-probe-1', time: voyageStartSec * 1_000 });
    agent = await truck.start();
    await until(() => out.messages.length === 1_001, 'and after a restart of the agent');
    await until(() => agent.status().devices[0]!.queued === 0, 'a receipt for each');
    const chain = truck.oracle.stored.get(agent.status().devices[0]!.device)!;
    const values = chain.flatMap(({ series }) => series[0]!.samples.map(({ value }) => value));
    t.same(
      values,
      Array.from({ length: values.length }, (_, i) => i),
      'once and in order',
    );
    t.equal(values.length, 1_000);
    await agent.stop();
    await until(() => text().startsWith('agent away'), 'away again');
    sample.receive({ payload: 50, channel: 'cargo-probe-1', time: (voyageStartSec + 1) * 1_000 });
    await until(() => text().endsWith('1 waiting'), 'one waits');
    await unloadNow();
    t.equal(out.messages.length, 1_001);
  },
);

t.test('readings: one message each, with marks; a fault has no value; device and channel choose', async (t) => {
  const truck = await openTruck(t, new HandClock(voyageStartSec + 7_200));
  const agent = await truck.start();
  await load(t, truck.port, [
    ...flowOf('coldproof-readings', { device: '', channel: '' }),
    { id: 'door', type: 'coldproof-readings', agent: 'agent', device: 'TRUCK-7', channel: 'door', wires: [['doors']] },
    { id: 'doors', type: 'helper', wires: [] },
    { id: 'other', type: 'coldproof-readings', agent: 'agent', device: 'TRUCK-8', wires: [['none']] },
    { id: 'none', type: 'helper', wires: [] },
  ]);
  const { text } = watch('node');
  await until(() => text() === 'connected', 'connected');
  const [all, doors, none] = [watch('out0'), watch('doors'), watch('none')];
  const say = await sensorOf(t, agent);
  await say('cargo-probe-1', voyageStartSec, { u: 'Cel', v: 4.257 });
  await say('door', voyageStartSec, { vb: true });
  await say('cargo-probe-1', voyageStartSec + 60, { u: 'Cel', v: 85 });
  await say('cargo-probe-1', voyageStartSec + 120, { u: 'Cel', v: 69 });
  await say('cargo-probe-1', voyageStartSec + 180, { u: 'Cel', v: 71 });
  await until(() => all.messages.length === 5, 'five');
  const probe = { topic: 'TRUCK-7/cargo-probe-1', device: 'TRUCK-7', channel: 'cargo-probe-1', unit: 'Cel' };
  t.match(all.messages, [
    { ...probe, payload: 4.26, marks: [], time: voyageStartSec * 1_000 },
    { topic: 'TRUCK-7/door', payload: 1, unit: '/', marks: [] },
    { ...probe, payload: null, marks: ['invalid-value'] },
    { ...probe, payload: 69, marks: ['spike'] },
    { ...probe, payload: 71, marks: ['out-of-range'] },
  ]);
  t.equal(doors.messages.length, 1);
  t.same(none.messages, []);
});

t.test('alarms: raised and cleared once, by what stands, over link, agent and restarts', async (t) => {
  const truck = await openTruck(t, new HandClock(voyageStartSec + 7_200));
  let agent = await truck.start();
  await load(t, truck.port, flowOf('coldproof-alarms'));
  const { messages } = watch('out0');
  const names = () =>
    messages.map(({ topic, payload }) => {
      const { name, raised } = payload as { name: string; raised: boolean };
      return `${String(topic)} ${name} ${raised}`;
    });
  const heard = (line: string) => until(() => names().includes(line), line);
  let say = await sensorOf(t, agent);
  await until(() => agent.status().link.connected, 'the link');
  await say('cargo-probe-1', voyageStartSec, { u: 'Cel', v: 85 });
  await heard('TRUCK-7/cargo-probe-1 invalid-value true');
  await say('cargo-probe-1', voyageStartSec + 60, { u: 'Cel', v: 71 });
  await heard('TRUCK-7/cargo-probe-1 out-of-range true');
  await say('oil', voyageStartSec, { v: 1 });
  await heard('refused sensor-unknown true');
  const port = truck.oracle.port;
  await truck.oracle.stop();
  await heard('TRUCK-7/link link-down true');
  await agent.stop();
  await heard('agent agent-away true');
  await truck.oracle.start(port);
  agent = await truck.start();
  await heard('agent agent-away false');
  await heard('TRUCK-7/link link-down false');
  say = await sensorOf(t, agent);
  await say('cargo-probe-1', voyageStartSec + 120, { u: 'Cel', v: 70 });
  await heard('TRUCK-7/cargo-probe-1 out-of-range false');
  t.equal(names().filter((line) => line === 'TRUCK-7/cargo-probe-1 out-of-range true').length, 1, 'told once');
  const invalid = names().filter((line) => line.includes('invalid-value'));
  t.same(invalid, ['TRUCK-7/cargo-probe-1 invalid-value true', 'TRUCK-7/cargo-probe-1 invalid-value false']);
});

t.test('alarms: a channel against the terms of its shipment, as the agent judges them', async (t) => {
  const limit = 'channel: cargo-probe-1, lowerLimitCentiC: 200, upperLimitCentiC: 800, excursionSecMin: 900';
  const terms = `orderId: '7', judgedFromSec: ${voyageStartSec}, sampleGapSecMax: 150, limits: [{ ${limit} }]`;
  const truck = await openTruck(t, new HandClock(voyageStartSec + 180), `    terms: { ${terms} }\n`);
  const agent = await truck.start();
  await load(t, truck.port, flowOf('coldproof-alarms'));
  const { messages } = watch('out0');
  const about = { topic: 'TRUCK-7/terms/cargo-probe-1' };
  const alarm = { kind: 'terms', device: 'TRUCK-7', channel: 'cargo-probe-1', orderId: '7' };
  const told = () => messages.filter(({ topic }) => topic === about.topic);
  const heard = (count: number) => until(() => told().length >= count, `${count} messages`);
  await heard(1);
  const say = await sensorOf(t, agent);
  await say('cargo-probe-1', voyageStartSec + 60, { u: 'Cel', v: 4 });
  await heard(2);
  await say('cargo-probe-1', voyageStartSec + 120, { u: 'Cel', v: 9 });
  await heard(3);
  await say('cargo-probe-1', voyageStartSec + 170, { u: 'Cel', v: 4 });
  await heard(4);
  t.match(told(), [
    { ...about, payload: { ...alarm, name: 'no-data', raised: true } },
    { ...about, payload: { ...alarm, name: 'no-data', raised: false } },
    { ...about, payload: { ...alarm, name: 'warning', raised: true, leftSec: 900 } },
    { ...about, payload: { ...alarm, name: 'warning', raised: false } },
  ]);
});

t.test('queue: its state at each change and when asked for, and each receipt as the oracle gave it', async (t) => {
  const truck = await openTruck(t, new HandClock(voyageStartSec + 7_200));
  const agent = await truck.start();
  await load(t, truck.port, flowOf('coldproof-queue', {}, 2));
  const [queue, receipts] = [watch('out0'), watch('out1')];
  const { text } = watch('node');
  const say = await sensorOf(t, agent);
  await until(() => queue.messages.length > 0, 'the state at once');
  const logs = [{ next: 0, lag: 0 }];
  t.match(queue.messages[0]!['payload'], { unsealed: 0, queued: 0, sealed: 0, receipts: 0, logs });
  for (let minute = 0; minute < 12; minute++) {
    await say('cargo-probe-1', voyageStartSec + 60 * minute, { v: 4 + minute });
  }
  await until(() => receipts.messages.length === 2, 'two receipts');
  const chain = truck.oracle.stored.get(agent.status().devices[0]!.device)!;
  t.match(
    receipts.messages.map(({ topic, payload }) => ({ topic, payload })),
    chain.map(({ digest }, sequence) => {
      const hex = Buffer.from(digest).toString('hex');
      return { topic: 'TRUCK-7', payload: { sequence, index: sequence, digest: hex } };
    }),
  );
  await until(() => text() === '0 queued, 2 receipts', 'the status');
  const isCounted = () => (queue.messages.at(-1)!['payload'] as { unsealed: number }).unsealed === 2;
  await until(isCounted, 'the last two readings are told of');
  const before = queue.messages.length;
  testHelper.getNode('node').receive({ payload: 'how are you' });
  await until(() => queue.messages.length === before + 1, 'an answer');
  t.match(queue.messages.at(-1), { payload: { unsealed: 2, queued: 0, sealed: 2, receipts: 2 } });
});

t.test('the editor is offered the channels of the deployed agent', async (t) => {
  const truck = await openTruck(t);
  await truck.start();
  await load(t, truck.port, flowOf('coldproof-readings'));
  const { text } = watch('node');
  await until(() => text() === 'connected', 'connected');
  let answer = await testHelper.request().get('/coldproof-agent/agent/channels');
  while (answer.status === 404) answer = await testHelper.request().get('/coldproof-agent/agent/channels');
  t.match(answer.body, { 'TRUCK-7': [{ channel: 'cargo-probe-1', unit: 'Cel' }, { channel: 'door' }] });
  t.equal((await testHelper.request().get('/coldproof-agent/node/channels')).status, 404);
  t.equal((await testHelper.request().get('/coldproof-agent/nothing/channels')).status, 404);
});

t.test('what is wrong with the set-up stands at the node: password, rights, settings, another broker', async (t) => {
  const truck = await openTruck(t);
  await truck.start();
  await load(t, truck.port, flowOf('coldproof-readings'), { agent: { username: 'node-red', password: 'wrong' } });
  let node = watch('node');
  await until(() => /agent away: .*Not authorized/.test(node.text()), 'password');
  await unloadNow();
  const sensor = { agent: { username: 'TRUCK-7', password: sensorPassword } };
  await load(t, truck.port, flowOf('coldproof-readings'), sensor);
  node = watch('node');
  await until(() => /TRUCK-7 may not read: give it "reads"/.test(node.text()), 'rights');
  await unloadNow();
  await load(t, 0, flowOf('coldproof-readings'), {});
  await unloadNow();
  const other = await Aedes.createBroker();
  const server = createServer((socket) => {
    other.handle(socket);
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  t.teardown(async () => {
    await new Promise<void>((resolve) => {
      other.close(resolve);
    });
    server.close();
  });
  for (const [topic, payload] of [
    ['agent/TRUCK-7/readings', 'warm'],
    ['agent/TRUCK-7/readings', '{}'],
    ['agent/TRUCK-7/readings', 'null'],
  ] as const) {
    const { port } = server.address() as { port: number };
    await load(t, port, flowOf('coldproof-readings'));
    node = watch('node');
    await until(() => node.text() === 'connected', 'connected');
    other.publish({ cmd: 'publish', topic, payload, qos: 0, retain: false, dup: false }, () => undefined);
    await until(() => node.text().includes('not what an agent says'), `${topic} ${payload}`);
    await unloadNow();
  }
});

t.test('a close leaves no socket, no timer, and nothing that is told later', async (t) => {
  const truck = await openTruck(t, new HandClock(voyageStartSec + 7_200));
  const agent = await truck.start();
  await until(() => agent.status().link.connected, 'the link');
  const resources = () => process.getActiveResourcesInfo().filter((each) => each === 'TCPSocketWrap').length;
  const before = resources();
  const flow = [
    ...flowOf('coldproof-readings'),
    { id: 'sample', type: 'coldproof-sample', agent: 'agent', wires: [[]] },
  ];
  for (let round = 0; round < 10; round++) {
    await load(t, round % 2 === 0 ? truck.port : await freePort(), flow);
    const { text } = watch('node');
    await until(() => /connected|away/.test(text()), 'up or away');
    await unloadNow();
  }
  await until(() => resources() <= before, `sockets as before: ${before}`);
  t.pass();
});
