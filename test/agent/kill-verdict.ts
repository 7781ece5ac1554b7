/** What must hold after any number of kills, by the journal that is left and by what the oracle has. */
import { bytesToHex } from '@coldproof/wire';
import { Journal } from '@coldproof/agent/journal';
import type { StubOracle } from './fixture.ts';

/** `acknowledged`: times of the readings that a sensor was told of. Empty when nothing is lost and nothing twice. */
export function judgeKills(
  stateDir: string,
  device: Uint8Array,
  oracle: Pick<StubOracle, 'stored' | 'refused'>,
  acknowledged: ReadonlySet<number>,
): string[] {
  const chain = oracle.stored.get(bytesToHex(device)) ?? [];
  const problems: string[] = [];
  const journal = Journal.open(stateDir);
  const unsealed = journal.readings(device).map(({ timeSec }) => timeSec);
  for (const { sequence, digest } of journal.pending(device, 0, 1_000_000)) {
    const stored = chain[sequence];
    if (stored !== undefined && bytesToHex(stored.digest) !== bytesToHex(digest)) {
      problems.push(`sequence ${sequence} has two contents`);
    }
  }
  journal.close();
  for (const refused of new Set(oracle.refused)) {
    // A window that is sent again from its beginning.
    if (refused !== 'sequence-not-next') problems.push(`the oracle refused: ${refused}`);
  }
  const sealed = chain.flatMap(({ series }) => series.flatMap(({ samples }) => samples.map((each) => each.timeSec)));
  const held = [...sealed, ...unsealed];
  const once = new Set(held);
  if (once.size !== held.length) problems.push(`${held.length - once.size} readings twice`);
  const lost = [...acknowledged].filter((timeSec) => !once.has(timeSec));
  if (lost.length > 0) problems.push(`${lost.length} acknowledged readings lost, the first of ${lost[0]}`);
  return problems;
}
