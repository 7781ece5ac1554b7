/**
 * A disk that fails once, at a chosen point of a short life of the agent's loops: the nth fsync gives EIO, the nth
 * write to the journal's files gives ENOSPC (both by strace), or the file system has so many pages left (a tmpfs),
 * which also makes writes short. The process must end with the reason, and the next one, on a disk that is whole again,
 * must have all that a sensor was told of, and seal nothing that contradicts what has left the truck.
 */
import { spawn, spawnSync, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { formatTopic, parseTopic } from '@coldproof/wire';
import { asError } from '@coldproof/agent/operating-error';
import { coreProgram } from './core-bundle.ts';
import { startCore, type Tells } from './core-life.ts';
import { makeKey, mustParse, passphrase, StubOracle, truckYaml, until } from './fixture.ts';
import type { Told } from './kill-core.ts';
import { judgeKills } from './kill-verdict.ts';

export type DiskFault = { readonly kind: 'fsync' | 'write' | 'room'; readonly at: number };

export type DiskOutcome = {
  /** False when its life had no such point. */
  readonly isHit: boolean;
  /** What the process said of its end. Undefined when it has lived through its script. */
  readonly failed: { readonly code: string; readonly message: string } | undefined;
  readonly acknowledged: number;
  /** Empty: nothing lost, nothing twice, the end explained. */
  readonly problems: readonly string[];
};

export const hasStrace = spawnSync('strace', ['-V']).status === 0;
export const isRoot = process.getuid?.() === 0;

/** Two batches of five, and one reading that stays unsealed. */
const readingsOfScript = 11;
/** On a tmpfs the script goes on until it is full. */
const readingsMax = 400;
const pageBytes = 4_096;
const tmpfsBytes = 1_048_576;
const explained =
  /^journal: could not .* not acknowledged and not tried again|journal\.db: .*(I\/O|full)|: E(IO|NOSPC): /;

class Disk {
  readonly folder = mkdtempSync(join(tmpdir(), 'coldproof-disk-'));
  readonly stateDir: string;
  readonly #isTmpfs: boolean;

  constructor({ kind }: DiskFault) {
    this.#isTmpfs = kind === 'room';
    if (this.#isTmpfs) {
      const mount = ['-t', 'tmpfs', '-o', `size=${tmpfsBytes}`, 'tmpfs', this.folder];
      const { status, stderr } = spawnSync('mount', mount, { encoding: 'utf8' });
      if (status !== 0) throw new Error(`mount: ${stderr}`);
    }
    this.stateDir = join(this.folder, 'state');
    mkdirSync(this.stateDir);
  }

  get #ballast(): string {
    return join(this.folder, 'ballast');
  }

  /** Leaves `pages` free. */
  fill(pages: number): void {
    const free = Number(spawnSync('stat', ['-f', '-c', '%a', this.folder], { encoding: 'utf8' }).stdout);
    writeFileSync(this.#ballast, Buffer.alloc(Math.max(0, free - pages) * pageBytes));
  }

  heal(): void {
    rmSync(this.#ballast, { force: true });
  }

  remove(): void {
    if (this.#isTmpfs) spawnSync('umount', [this.folder]);
    rmSync(this.folder, { recursive: true, force: true });
  }
}

/** A script that is run under a fault, then without one, then judged. */
class Trial {
  readonly #fault: DiskFault;
  readonly #disk: Disk;
  readonly #oracle = new StubOracle();
  readonly #acknowledged = new Set<number>();
  readonly #startSec = Math.floor(Date.now() / 1_000) - 1_000_000;
  #nextSec = this.#startSec;
  #settled = 0;
  #failed: DiskOutcome['failed'];
  #deliver: (message: Exclude<Told, { event: 'go' }>) => void = () => undefined;

  constructor(fault: DiskFault, disk: Disk) {
    this.#fault = fault;
    this.#disk = disk;
  }

  async run(): Promise<DiskOutcome> {
    const { stateDir } = this.#disk;
    const keyStore = makeKey(stateDir);
    this.#oracle.trust(keyStore);
    const { publicKey: logPublicKey } = this.#oracle.logKey;
    const config = mustParse(truckYaml(stateDir, { oraclePort: 1, logPublicKey }));
    if (this.#fault.kind === 'room') this.#disk.fill(this.#fault.at);
    await this.#hurt({ event: 'go', config, passphrase });
    this.#disk.heal();
    const told = this.#acknowledged.size;
    await this.#recover(config);
    const problems = judgeKills(stateDir, keyStore.device(), this.#oracle, this.#acknowledged);
    const failed = this.#failed;
    if (failed !== undefined && !explained.test(failed.message)) problems.push(`unexplained: ${failed.message}`);
    const isHit =
      this.#fault.kind === 'room' ? failed !== undefined : readFileSync(this.#trace, 'utf8').includes('INJECTED');
    return { isHit, failed, acknowledged: told, problems };
  }

  /** The life with the fault in it. */
  async #hurt(go: Told): Promise<void> {
    const child = this.#spawn();
    const ended = once(child, 'exit');
    this.#deliver = (message) => child.connected && child.send(message, () => undefined);
    // Only kill-core.ts sends here.
    child.on('message', (message) => {
      const told = message as Tells;
      if (told.event === 'ready') child.send(go);
      else this.#take(told);
      if (this.#isDone() && child.connected) child.disconnect();
    });
    await ended;
    if (this.#failed === undefined && !this.#isDone()) {
      throw new Error(`ended with ${child.exitCode} and no word at ${JSON.stringify(this.#fault)}`);
    }
  }

  #spawn(): ChildProcess {
    const { kind, at } = this.#fault;
    const { stateDir } = this.#disk;
    const [calls, error] = kind === 'fsync' ? ['fsync,fdatasync', 'EIO'] : ['pwrite64', 'ENOSPC'];
    const files = ['journal.db', 'journal.db-wal'].flatMap((name) => ['-P', join(stateDir, name)]);
    const strace = ['strace', '-f', '--seccomp-bpf', '-qq', '-o', this.#trace, '-e', `trace=${calls}`];
    const inject = [...(kind === 'write' ? files : []), '-e', `inject=${calls}:error=${error}:when=${at}`];
    const tracer = kind === 'room' ? [] : [...strace, ...inject];
    const [program = '', ...args]: string[] = [...tracer, process.execPath, coreProgram];
    return spawn(program, args, { stdio: ['ignore', 'ignore', 'inherit', 'ipc'], serialization: 'advanced' });
  }

  get #trace(): string {
    return join(this.#disk.folder, 'trace');
  }

  #isDone(): boolean {
    if (this.#fault.kind === 'room') return this.#acknowledged.size >= readingsMax;
    return this.#acknowledged.size >= readingsOfScript && this.#settled >= 2;
  }

  /** The life after it, in this process. */
  async #recover(config: Parameters<typeof startCore>[0]): Promise<void> {
    let failure: Error | undefined;
    const fail = (error: unknown) => (failure ??= asError(error));
    this.#nextSec += 1_000;
    // What it tells while it starts comes before there is anybody to answer.
    const tell = (told: Tells) => setImmediate(() => this.#take(told));
    const life = startCore(config, passphrase, { tell, fail });
    this.#deliver = (message) =>
      message.event === 'reading' ? life.reading(message.timeSec) : life.receipt(message.topic, message.bytes);
    const settledBefore = this.#settled;
    await until(() => this.#settled > settledBefore || failure !== undefined, 'a batch after the fault');
    await life.end();
    if (failure !== undefined) throw failure;
  }

  #take(told: Tells): void {
    if (told.event === 'open') this.#send();
    else if (told.event === 'recorded') {
      this.#acknowledged.add(told.timeSec);
      this.#send();
    } else if (told.event === 'batch') {
      const { device } = parseTopic(told.topic)!;
      const receipt = this.#oracle.answer(device, told.bytes);
      if (receipt === undefined) return;
      this.#deliver({ event: 'receipt', topic: formatTopic(device, 'receipt'), bytes: receipt });
    } else if (told.event === 'settled') this.#settled += told.released;
    else if (told.event === 'failed') this.#failed = told;
  }

  /** One after the other, so that the nth call is the same in every run. */
  #send(): void {
    this.#deliver({ event: 'reading', timeSec: this.#nextSec++ });
  }
}

/** One trial on a fresh disk. Needs bundleCore before it. */
export async function sufferFault(fault: DiskFault): Promise<DiskOutcome> {
  const disk = new Disk(fault);
  try {
    return await new Trial(fault, disk).run();
  } finally {
    disk.remove();
  }
}
