/**
 * A consortium of four, one of whom may be faulty (oracle/NETWORK.md), as processes: whichever one is killed, slow,
 * lies, says two things or has another log than it had, reports go on and nothing false is accepted; with two away it
 * stops, says so, and resumes.
 */
import t, { type Test } from 'tap';
import { bytesToHex } from '@coldproof/wire';
import { skipWithoutMosquitto as skip } from '../helpers/mosquitto.ts';
import { eventually, forgedBatches, Stage, type Node, type Voyage } from './quorum-stage.ts';

/** Blocks from the moment at which the nodes that are well have the batches. */
const blocksMax = 3;

t.test('four nodes, one faulty', { skip }, async (t) => {
  const stage = await Stage.open(t);
  const [a, b, c, d] = stage.nodes as [Node, Node, Node, Node];
  const voyages: Voyage[] = [];
  for (let i = 0; i < 9; i++) voyages.push(await stage.dispatch(10 + i));
  const next = () => voyages.shift()!;
  await stage.mineByTime();
  for (const node of stage.nodes) node.start();
  await eventually('all are ready', () => allReady(stage.nodes));

  await reports(t, stage, next(), stage.nodes, 'all are well');

  b.signal('SIGSTOP');
  await reports(t, stage, next(), [a, c, d], 'one is stopped');
  b.signal('SIGCONT');
  await eventually('it goes on', () => allReady(stage.nodes));

  await eventually('all have read its log', async () => isOne(await logsOf(c, stage.nodes), 'logSize'));
  await c.kill();
  await reports(t, stage, next(), [a, b, d], 'one is killed');

  await a.kill();
  const late = next();
  await stage.drive(late, 900, [b, d]);
  await eventually('both say so', async () => (await states([b, d])).every((state) => state === 'without-quorum'));
  t.notOk(await stage.isAsserted(late), 'two of four do not speak for all');
  a.start();
  await eventually('it goes on when one is back, and has caught up', () => stage.isAsserted(late));
  t.equal((await a.status())?.log.size, (await b.status())?.log.size);

  c.start('warmer');
  const cold = next();
  await stage.drive(cold, 500, [a, b, d]);
  const isRefused = async () => (await refused([a, b, d], 'report-not-due')).every((count) => count > 0);
  await eventually('its report is refused', isRefused);
  t.notOk(await stage.isAsserted(cold), 'nothing false is accepted');
  await c.kill();

  await rewritten(t, stage, { bad: c, well: [a, b, d], made: next(), voyage: next() });

  c.start('equivocator');
  await reports(t, stage, next(), [a, b, d], 'one says two things');
  await eventually('all have the proof', () => haveAccused([a, b, d], 'node', c));
  await eventually('all have read its log', async () => isOne(await logsOf(c, stage.nodes), 'logSize'));
  await c.kill();
  await forked(c, [a, b, d]);

  t.equal(await stage.assertionCount(), 6, 'each report once');
  for (const node of [a, b, d]) {
    await eventually(`${node.name} is anchored`, async () => ((await node.status())?.quorum.anchor.size ?? 0) > 0);
    t.notMatch(node.story, /assertion failed|signed-another/, node.name);
  }
});

type Wrong = { readonly bad: Node; readonly well: readonly Node[]; readonly made: Voyage; readonly voyage: Voyage };

/**
 * The product itself on a log that is not the one whose heads it signed before, with batches in it that no device has
 * signed: the others neither cosign nor read it, and what it makes of the batches is no report.
 */
async function rewritten(t: Test, stage: Stage, { bad, well, made, voyage }: Wrong): Promise<void> {
  const missing = (await refused(well, 'batches-missing')).map((count) => count + 1);
  bad.rewriteLog({ added: forgedBatches(made) });
  bad.start();
  const isRefused = async () => (await refused(well, 'checkpoint-inconsistent')).every((count) => count > 0);
  await eventually('its heads are refused', isRefused);
  await eventually('it is read no further', async () => {
    return (await logsOf(bad, well)).every((log) => log?.logState === 'inconsistent');
  });
  await eventually('its report rests on batches that nobody has', async () => {
    return (await refused(well, 'batches-missing')).every((count, i) => count >= missing[i]!);
  });
  await reports(t, stage, voyage, well, 'one has another log than it had');
  t.notOk(await stage.isAsserted(made), 'nothing that was made up is accepted');
  const [log] = await logsOf(bad, well);
  const anchored = await stage.anchoredHead(log!.log);
  const before = anchored.size === 0 ? new Uint8Array(32) : bad.rootBefore(anchored.size);
  t.equal(anchored.root, before && bytesToHex(before), 'what is anchored, if anything, is of the log that it had');
  await bad.kill();
  bad.restoreLog();
}

/** Two heads of one size: each of the others finds them by itself, and keeps both. */
async function forked(bad: Node, well: readonly Node[]): Promise<void> {
  const [log] = await logsOf(bad, well);
  bad.rewriteLog({ size: log!.logSize! });
  bad.start(undefined, { isAlone: true });
  await eventually('all have both heads', () => haveAccused(well, 'log', bad));
  await eventually('as each has seen', async () => {
    return (await logsOf(bad, well)).every((log) => log?.logState === 'forked');
  });
}

async function haveAccused(well: readonly Node[], accused: 'node' | 'log', bad: Node): Promise<boolean> {
  const logs = await logsOf(bad, well);
  const found = await Promise.all(well.map((node) => node.status()));
  return found.every((status, i) => {
    return status?.quorum.accusations.some((each) => each.accused === accused && each.subject === logs[i]?.log);
  });
}

/** What each of these knows of that node and its log. */
async function logsOf(bad: Node, nodes: readonly Node[]) {
  const found = await Promise.all(nodes.filter((node) => node !== bad).map((node) => node.status()));
  return found.map((status) => status?.quorum.peers.find(({ name }) => name === bad.name));
}

function isOne<Key extends string>(found: readonly (Readonly<Record<Key, unknown>> | undefined)[], key: Key): boolean {
  return found.every((each) => each !== undefined && each[key] !== null && each[key] === found[0]?.[key]);
}

async function refused(nodes: readonly Node[], reason: string): Promise<number[]> {
  const found = await Promise.all(nodes.map((node) => node.status()));
  return found.map((status) => new Map(Object.entries(status?.quorum.refused ?? {})).get(reason) ?? 0);
}

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
