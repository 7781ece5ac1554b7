/**
 * kill -9 of the agent's loops, many times a minute: while they open the journal, record, seal, append, forward and
 * settle. Its parent is sensor, broker and oracle, and holds it to what the sensor was told.
 */
import { fork, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { build } from 'esbuild';
import { formatTopic, parseTopic } from '@coldproof/wire';
import { Random } from '../helpers/seed.ts';
import { makeKey, mustParse, passphrase, StubOracle, truckYaml, until } from './fixture.ts';
import type { Tells, Told } from './kill-core.ts';
import { judgeKills } from './kill-verdict.ts';

export type CoreKills = {
  readonly acknowledged: number;
  readonly batches: number;
  /** Killed before the journal was open, and after. */
  readonly early: number;
  readonly late: number;
  /** Empty: nothing lost, nothing twice. */
  readonly problems: readonly string[];
};

const source = fileURLToPath(new URL('kill-core.js', import.meta.url));
/** One file, since to find and read a hundred of them takes longer than all else. Beside a package.json, as agent/. */
const program = fileURLToPath(new URL('../kill-core-bundle.js', import.meta.url));
/** Of early deaths, from the start on: about what it takes to open a journal. */
const openMsMax = 40;
/** Of late ones: readings and batches until the end is near, and what is left then: some fsyncs. */
const toldMax = 12;
const restMsMax = 8;
/** Readings on their way to the journal at a time. */
const underWayMax = 3;

/** One process, from its loading to its death. */
class Life {
  readonly child: ChildProcess;
  readonly #ready: Promise<unknown>;
  readonly #onTold: (life: Life, told: Tells) => void;
  #told = 0;
  #wanted: { readonly told: number; readonly resolve: () => void } | undefined;

  constructor(onTold: (life: Life, told: Tells) => void) {
    this.#onTold = onTold;
    this.child = fork(program, { serialization: 'advanced' });
    this.#ready = once(this.child, 'message');
  }

  async go(order: Told): Promise<void> {
    await this.#ready;
    // Only kill-core.ts sends here.
    this.child.on('message', (message) => {
      this.#told += 1;
      if (this.#told === this.#wanted?.told) this.#wanted.resolve();
      this.#onTold(this, message as Tells);
    });
    this.tell(order);
  }

  get isOpen(): boolean {
    return this.#told > 0;
  }

  /** Returns when it has told so much, or is dead. */
  async hear(told: number): Promise<void> {
    await new Promise<void>((resolve) => {
      this.#wanted = { told, resolve };
      this.child.once('exit', () => resolve());
      if (this.#told >= told || this.child.exitCode !== null) resolve();
    });
  }

  /** A process that was killed hears nothing. */
  tell(message: Told): void {
    if (this.child.connected) this.child.send(message, () => undefined);
  }

  async end(): Promise<void> {
    if (this.child.exitCode !== null || this.child.signalCode !== null) return;
    const exit = once(this.child, 'exit');
    this.child.kill('SIGKILL');
    await exit;
  }
}

class Campaign {
  readonly stateDir = mkdtempSync(join(tmpdir(), 'coldproof-kills-'));
  readonly oracle = new StubOracle();
  readonly keyStore = makeKey(this.stateDir);
  readonly #random: Random;
  readonly #go: Told;
  readonly acknowledged = new Set<number>();
  #nextSec = Math.floor(Date.now() / 1_000) - 10_000_000;
  early = 0;
  late = 0;

  constructor(seed: number) {
    this.#random = new Random(seed);
    this.oracle.trust(this.keyStore);
    const { publicKey: logPublicKey } = this.oracle.logKey;
    const config = mustParse(truckYaml(this.stateDir, { oraclePort: 1, logPublicKey }));
    this.#go = { event: 'go', config, passphrase };
  }

  load(): Life {
    return new Life((life, told) => this.#told(life, told));
  }

  #told(life: Life, told: Tells): void {
    if (told.event === 'open') for (let i = 0; i < underWayMax; i++) this.#sendOne(life);
    else if (told.event === 'recorded') {
      this.acknowledged.add(told.timeSec);
      this.#sendOne(life);
    } else if (told.event === 'batch') {
      const { device } = parseTopic(told.topic)!;
      const receipt = this.oracle.answer(device, told.bytes);
      if (receipt !== undefined) life.tell({ event: 'receipt', topic: formatTopic(device, 'receipt'), bytes: receipt });
    }
  }

  #sendOne(life: Life): void {
    life.tell({ event: 'reading', timeSec: this.#nextSec++ });
  }

  async kill(life: Life): Promise<void> {
    // A third from the start on, the others once they take readings, however slow the machine is.
    const told = this.#random.next() < 0.33 ? 0 : this.#random.integer(1, toldMax);
    const restMs = this.#random.next() * (told === 0 ? openMsMax : restMsMax);
    await life.go(this.#go);
    if (told > 0) await life.hear(told);
    await new Promise((resolve) => setTimeout(resolve, restMs));
    await life.end();
    if (life.child.exitCode !== null) throw new Error(`it ended by itself, with ${life.child.exitCode}`);
    if (life.isOpen) this.late += 1;
    else this.early += 1;
  }

  /** One that is left in peace delivers what the others have left. */
  async settle(life: Life): Promise<void> {
    await life.go(this.#go);
    const before = this.batches;
    await until(() => this.batches > before + 3, 'the batches of a quiet life', 60_000);
    await life.end();
  }

  get batches(): number {
    return [...this.oracle.stored.values()].reduce((sum, { length }) => sum + length, 0);
  }
}

export async function coreKills(
  cycles: number,
  seed: number,
  onCycle: (cycle: number) => void = () => undefined,
): Promise<CoreKills> {
  await build({ entryPoints: [source], outfile: program, bundle: true, platform: 'node', format: 'esm' });
  const campaign = new Campaign(seed);
  let next = campaign.load();
  try {
    for (let cycle = 1; cycle <= cycles; cycle++) {
      const life = next;
      next = campaign.load();
      await campaign.kill(life);
      onCycle(cycle);
    }
    await campaign.settle(next);
    const { acknowledged, batches, early, late, oracle, keyStore, stateDir } = campaign;
    const problems = judgeKills(stateDir, keyStore.device(), oracle, acknowledged);
    return { acknowledged: acknowledged.size, batches, early, late, problems };
  } finally {
    await next.end();
    rmSync(campaign.stateDir, { recursive: true, force: true });
  }
}
