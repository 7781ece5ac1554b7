/**
 * Voyages for system tests: the demonstration as the user starts it, or in this process when a test takes part in it.
 */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { decodeEnvelope, openEnvelope, type OpenEnvelope } from '@coldproof/wire';
import { Demonstration } from '@coldproof/oracle/demonstration/demonstration';
import type { Options } from '@coldproof/oracle/demonstration/options';
import { listScenarios } from '@coldproof/oracle/demonstration/scenarios';
import type { StageHooks } from '@coldproof/oracle/demonstration/stage';
import type { Status } from '@coldproof/oracle/demonstration/status';
import { SqliteDatabase } from '@coldproof/oracle/store-sqlite';

export const mainFile = fileURLToPath(new URL('../../../oracle/dist/demonstration/main.js', import.meta.url));

/** Twice the speed of `npm start`: a voyage of eight hours in 24 s. */
export const testSpeed = 1_200;

/** Runs `npm start -- --once --json ...` to its end. */
export async function sailOnce(
  args: readonly string[],
): Promise<{ code: number | null; status: Status; story: string }> {
  const child = spawn(process.execPath, [mainFile, '--once', '--json', '--speed', String(testSpeed), ...args]);
  let printed = '';
  let story = '';
  child.stdout.setEncoding('utf8').on('data', (text: string) => (printed += text));
  child.stderr.setEncoding('utf8').on('data', (text: string) => (story += text));
  const [code] = (await once(child, 'close')) as [number | null];
  const last = printed.trimEnd().split('\n').at(-1) ?? '';
  if (!last.startsWith('{')) throw new Error(`no status on stdout; story:\n${story}`);
  return { code, status: JSON.parse(last) as Status, story };
}

export async function openVoyage(
  options: Partial<Options>,
  write: (line: string) => void,
  hooks: Omit<StageHooks, 'onChild'> = {},
): Promise<Demonstration> {
  const defaults = { scenario: 'compressor-failure', seed: 1, serial: false, once: true, json: true, port: 0 };
  return Demonstration.open({ ...defaults, speed: testSpeed, ...options }, await listScenarios(), write, hooks);
}

/** Resolves when the voyage clock shows this much time since departure. */
export async function voyageReaches(demonstration: Demonstration, sinceDepartureSec: number): Promise<void> {
  const { clock } = demonstration.stage;
  const atMs = clock.realStartMs + (sinceDepartureSec * 1_000) / clock.speed;
  await new Promise((resolve) => setTimeout(resolve, Math.max(0, atMs - Date.now())));
}

/** Every batch in the oracle's log, in its order, decoded and checked. The oracle must have stopped. */
export function loggedBatches(dir: string): OpenEnvelope[] {
  const database = new SqliteDatabase(join(dir, 'oracle', 'oracle.db'), { readonly: true });
  try {
    const rows = database.prepare('SELECT bytes FROM envelope ORDER BY leaf_index').all() as { bytes: Uint8Array }[];
    return rows.map(({ bytes }) => opened(bytes));
  } finally {
    database.close();
  }
}

/** What the agent still has: batches without a receipt, and times of readings that no batch has yet, by channel. */
export function journaled(dir: string): { batches: OpenEnvelope[]; readings: { channel: number; timeSec: number }[] } {
  const database = new SqliteDatabase(join(dir, 'agent', 'journal.db'), { readonly: true });
  try {
    const envelopes = database.prepare('SELECT bytes FROM envelopes ORDER BY sequence').all() as {
      bytes: Uint8Array;
    }[];
    const readings = database.prepare('SELECT channel, timeSec FROM readings').all();
    return {
      batches: envelopes.map(({ bytes }) => opened(bytes)),
      readings: readings as { channel: number; timeSec: number }[],
    };
  } finally {
    database.close();
  }
}

/** Sample times of one channel over batches, in the order of the batches. */
export function timesOf(batches: readonly OpenEnvelope[], channel: number): number[] {
  return batches.flatMap(({ series }) => series.find((each) => each.channel === channel)?.samples ?? []).map(timeOf);
}

function timeOf({ timeSec }: { timeSec: number }): number {
  return timeSec;
}

function opened(bytes: Uint8Array): OpenEnvelope {
  const envelope = decodeEnvelope(bytes);
  const open = envelope.ok ? openEnvelope(envelope.value) : envelope;
  if (!open.ok) throw new Error(`stored envelope: ${open.reason}: ${open.detail}`);
  return open.value;
}
