/** Story 6 of the field: six hours without a link, the gateway restarted inside them. */
import t from 'tap';
import { cargoProbe } from '@coldproof/wire';
import { CuttableLink } from '../helpers/cuttable-link.ts';
import { loggedBatches, openVoyage, timesOf, voyageReaches } from '../helpers/voyage.ts';

const hour = 3_600;

t.test(
  'all readings arrive once, in order, with their own times; the excursion is dated to when it happened',
  async (t) => {
    const lines: string[] = [];
    const links: CuttableLink[] = [];
    const uplinkPort = async (brokerPort: number) => {
      links[0] = await CuttableLink.open(brokerPort);
      return links[0].port;
    };
    const voyage = await openVoyage({}, (line) => lines.push(line), { uplinkPort });
    const { stage } = voyage;
    t.teardown(async () => {
      await voyage.close();
      await links[0]?.close();
      await voyage.clear();
    });
    const agent = stage.children.find(({ name }) => name === 'agent')!;
    const ending = voyage.run(new AbortController().signal);

    await voyageReaches(voyage, hour);
    links[0]!.cut();
    await voyageReaches(voyage, 4 * hour);
    t.equal(voyage.status.orderState, 'InTransit', 'nobody can know yet');
    agent.kill('SIGKILL');
    await voyageReaches(voyage, 7 * hour);
    t.equal(voyage.status.orderState, 'InTransit');
    links[0]!.mend();
    const status = await ending;

    t.match(status, { orderState: 'Cancelled', replacementState: 'Placed', endedAsExpected: true }, lines.join('\n'));
    t.equal(status.restarts['agent'], 1);
    const startedAtSec = Date.parse(status.excursion!.startedAt) / 1_000 - stage.clock.voyageStartMs / 1_000;
    t.ok(startedAtSec > 1.5 * hour && startedAtSec < 4 * hour, `began ${startedAtSec} s after departure, link down`);

    await voyage.close();
    const batches = loggedBatches(stage.dir);
    t.same(
      batches.map(({ batch }) => batch.sequence),
      batches.map((_, i) => i),
      'every sequence once, in order',
    );
    const times = timesOf(batches, cargoProbe(1));
    t.ok(times.length > 5 * 60, `${times.length} readings`);
    t.same(
      new Set(times.slice(1).map((time, i) => time - times[i]!)),
      new Set([60]),
      'each a minute after the one before',
    );
  },
);
