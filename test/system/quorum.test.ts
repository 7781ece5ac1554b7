/**
 * A consortium of four, one of whom may be faulty (oracle/NETWORK.md), as processes: whichever one is killed, slow, lying
 * or says two things, reports go on and nothing false is accepted; with two away it stops, says so, and resumes.
 */
import t, { type Test } from 'tap';
import { skipWithoutMosquitto as skip } from '../helpers/mosquitto.ts';
import { eventually, Stage, type Node, type Voyage } from './quorum-stage.ts';

/** Blocks from the moment at which the nodes that are well have the batches. */
const blocksMax = 3;

t.test('four nodes, one faulty', { skip }, async (t) => {
  const stage = await Stage.open(t);
  const [a, b, c, d] = stage.nodes as [Node, Node, Node, Node];
  const voyages: Voyage[] = [];
  for (let i = 0; i < 7; i++) voyages.push(await stage.dispatch(10 + i));
  const next = () => voyages.shift()!;
  await stage.mineByTime();
  for (const node of stage.nodes) node.start();
  await eventually('all are ready', () => allReady(stage.nodes));

  await reports(t, stage, next(), stage.nodes, 'all are well');

  await a.kill();
  const missed = next();
  await reports(t, stage, missed, [b, c, d], 'one is killed');
  a.start();
  await eventually('it catches up', async () => (await a.status())?.log.size === (await b.status())?.log.size);
  await eventually('and is ready', () => allReady(stage.nodes));

  b.signal('SIGSTOP');
  await reports(t, stage, next(), [a, c, d], 'one is stopped; the one that was killed attests again');
  b.signal('SIGCONT');
  await eventually('it goes on', () => allReady(stage.nodes));

  await c.kill();
  c.start('warmer');
  const cold = next();
  await stage.drive(cold, 500, [a, b, d]);
  const isRefused = async (node: Node) => ((await node.status())?.quorum.refused['report-not-due'] ?? 0) > 0;
  await eventually('its report is refused', async () => (await Promise.all([a, b, d].map(isRefused))).every(Boolean));
  t.notOk(await stage.isAsserted(cold), 'nothing false is accepted');
  await c.kill();

  await d.kill();
  const late = next();
  await stage.drive(late, 900, [a, b]);
  await eventually('both say so', async () => (await states([a, b])).every((state) => state === 'without-quorum'));
  t.notOk(await stage.isAsserted(late), 'two of four do not speak for all');
  d.start();
  await eventually('it goes on when one is back', () => stage.isAsserted(late));

  c.start('equivocator');
  await reports(t, stage, next(), [a, b, d], 'one says two things');
  const accuse = async (node: Node) =>
    (await node.status())?.quorum.accusations.some(({ accused }) => accused === 'node');
  await eventually('all have the proof', async () => (await Promise.all([a, b, d].map(accuse))).every(Boolean));

  t.equal(await stage.assertionCount(), 5, 'each report once');
  for (const node of [a, b, d]) {
    await eventually(`${node.name} is anchored`, async () => ((await node.status())?.quorum.anchor.size ?? 0) > 0);
    t.notMatch(node.story, /assertion failed|signed-another/, node.name);
  }
});

async function reports(t: Test, stage: Stage, voyage: Voyage, well: readonly Node[], why: string): Promise<void> {
  await stage.drive(voyage, 900, well);
  const from = await stage.blockNumber();
  await eventually(`a report is accepted: ${why}`, () => stage.isAsserted(voyage));
  const blocks = (await stage.blockNumber()) - from;
  t.ok(blocks <= blocksMax, `${why}: accepted ${blocks} blocks later`);
}

async function states(nodes: readonly Node[]): Promise<(string | undefined)[]> {
  return Promise.all(nodes.map(async (node) => (await node.status())?.quorum.state));
}

async function allReady(nodes: readonly Node[]): Promise<boolean> {
  const found = await Promise.all(nodes.map((node) => node.status()));
  return found.every((status) => status?.quorum.state === 'ready' && status.quorum.present === nodes.length);
}
