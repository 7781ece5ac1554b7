/**
 * One run of the submission against everything that goes wrong at once, from one seed: endpoints that lose, double,
 * hold back and lie, reorganisations, and a process that dies. Then the faults stop, and what the chain itself holds is
 * counted.
 *
 * The seed gives the order of faults. What a call is asked in which moment also depends on the machine, since some
 * faults are waited for in real time; so a failed run prints all that happened in it besides its seed.
 */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { cpSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { Interface } from 'ethers';
import { loadArtifact } from '@coldproof/contracts';
import { realClock } from '@coldproof/oracle/clock';
import { OperatingError } from '@coldproof/oracle/operating-error';
import type { Action, EvidenceRecord } from '@coldproof/oracle/store-outbox';
import { Random } from '../helpers/seed.ts';
import { VoyageDevice } from '../helpers/voyage-device.ts';
import { dispatchOrder, enrol, makeWorld, type World } from './anvil.ts';
import { FaultyRpc, type Fate, type RpcCall } from './faulty-rpc.ts';
import { warmVoyage } from './oracle-fixture.ts';
import { faults, focuses, lieAbout, type BlockName } from './submission-lies.ts';
import type { ChildStart } from './submission-child.ts';
import { Crash, crashPoints, Life, prepareIn } from './transmit-fixture.ts';

/** Blocks under the head that anvil calls final. */
const finalityBlocks = 64;
const roundMs = 10_000;
const roundsToEndMax = 80;
/** How long a call is waited for while there are faults: a call that hangs costs a run so much. */
const hangMs = 250;
/** And after them: a machine that is busy is no fault of a node. */
const patienceMs = 20_000;
const policy = { feeWeiMax: 10n ** 13n, resendMs: 30_000, bumpMs: 60_000, retryMs: 5_000 };

const childPath = fileURLToPath(new URL('submission-child.js', import.meta.url));

export type Rig = {
  readonly world: World;
  readonly orderIds: readonly string[];
  /** A store with an action for each order. */
  readonly folder: string;
  readonly proxies: readonly FaultyRpc[];
  snapshot: string;
  readonly baseNonce: number;
  close(): Promise<void>;
};

/** One chain for all runs. Two orders, so that transactions wait for one another's nonces. */
export async function openRig(): Promise<Rig> {
  const world = await makeWorld(1);
  const { chain } = world.anvil;
  const folder = mkdtempSync(join(tmpdir(), 'coldproof-submission-'));
  const second = new VoyageDevice(2);
  await enrol(world, second);
  const orders = [
    { device: world.device, ...(await dispatchOrder(world)) },
    { device: second, ...(await dispatchOrder(world, second)) },
  ];
  await chain.mine(orders[1]!.dispatchedAtSec + 4 * 900);
  for (const { device, dispatchedAtSec } of orders) {
    await prepareIn(folder, world, warmVoyage(device, dispatchedAtSec), device);
  }
  const proxies = [await FaultyRpc.open(chain.rpcUrl), await FaultyRpc.open(chain.rpcUrl)];
  const snapshot = await chain.request<string>('evm_snapshot');
  const close = async () => {
    for (const proxy of proxies) await proxy.close();
    await world.anvil.stop();
    rmSync(folder, { recursive: true, force: true });
  };
  const orderIds = orders.map(({ orderId }) => orderId);
  return { world, orderIds, folder, proxies, snapshot, baseNonce: await nonceOf(world, 'latest'), close };
}

export type Outcome = {
  readonly problems: readonly string[];
  /** Everything that was done to the run, in its order. */
  readonly script: readonly string[];
  readonly counts: Readonly<Record<'faults' | 'lies' | 'kills' | 'reorgs' | 'transactions', number>>;
  /** What the oracle's own log said, by event: that it met what it was to meet. */
  readonly said: ReadonlyMap<string, number>;
};

export async function runFaults(rig: Rig, seed: number): Promise<Outcome> {
  const folder = mkdtempSync(join(tmpdir(), 'coldproof-run-'));
  cpSync(rig.folder, folder, { recursive: true });
  const run = new Run(rig, folder, seed);
  try {
    await run.begin();
    await run.suffer();
    await run.recover();
    return await run.judge();
  } catch (error) {
    const what = error instanceof Error ? (error.stack ?? error.message) : String(error);
    return { problems: [what], script: run.script, counts: run.counts, said: run.said };
  } finally {
    run.end();
    rmSync(folder, { recursive: true, force: true });
  }
}

class Run {
  readonly script: string[] = [];
  readonly said = new Map<string, number>();
  readonly counts = { faults: 0, lies: 0, kills: 0, reorgs: 0, transactions: 0 };
  readonly #rig: Rig;
  readonly #folder: string;
  readonly #random: Random;
  readonly #urls: readonly string[];
  #nowMs = 1_000_000;
  #life: Life | undefined;
  readonly #isOfProcesses: boolean;
  #isAuto = false;
  #hasRecovered = false;
  #crashAt: (typeof crashPoints)[number] | undefined;
  #snapshots: { readonly id: string; readonly number: number }[] = [];
  #finalNumber = 0;
  #number = 0;
  /** Newest block as the node gave it last, for lies that are true of another time. */
  #oldBlock: unknown;

  constructor(rig: Rig, folder: string, seed: number) {
    this.#isOfProcesses = seed % 20 === 0;
    this.#rig = rig;
    this.#folder = folder;
    this.#random = new Random(seed);
    this.#urls = rig.proxies.slice(0, this.#random.integer(1, rig.proxies.length)).map(({ url }) => url);
  }

  async begin(): Promise<void> {
    await this.#request('evm_revert', [this.#rig.snapshot]);
    this.#rig.snapshot = await this.#request<string>('evm_snapshot');
    this.#isAuto = this.#random.next() < 0.4;
    await this.#request('evm_setAutomine', [this.#isAuto]);
    await this.#look();
    this.#oldBlock = await this.#request<unknown>('eth_getBlockByNumber', ['latest', false]);
    const rate = this.#random.pick([0.01, 0.03, 0.1, 0.25]);
    // One method most of all, or none: spread over all, faults seldom let a round come as far as the outbox.
    const focus = this.#random.pick([undefined, ...focuses]);
    this.script.push(
      `endpoints ${this.#urls.length}, automine ${this.#isAuto}, faults ${rate}, most in ${focus ?? 'none'}`,
    );
    for (const [i, proxy] of this.#rig.proxies.entries()) {
      proxy.calls.length = 0;
      proxy.decide = (call) => this.#decide(call, i, call.method === focus ? 0.5 : rate);
    }
  }

  /** Rounds in which anything may happen. */
  async suffer(): Promise<void> {
    if (this.#isOfProcesses) return this.#sufferProcesses();
    const rounds = this.#random.integer(6, 16);
    for (let i = 0; i < rounds; i++) {
      await this.#chainMoves();
      await this.#round();
      if (this.#random.next() < 0.1) this.#kill('between rounds');
    }
  }

  /** The same as processes of their own: kill -9 when the nth call arrives, before it is passed on or answered. */
  async #sufferProcesses(): Promise<void> {
    const [first] = this.#rig.proxies;
    const decide = this.#rig.proxies.map((proxy) => proxy.decide);
    for (let i = 0; i < 3; i++) {
      const start: ChildStart = {
        ...{ folder: this.#folder, rpcUrl: this.#rig.world.anvil.chain.rpcUrl, rpcUrls: this.#urls },
        ...{ timeoutMs: hangMs, contracts: this.#rig.world.contracts },
      };
      const child = spawn(process.execPath, [childPath, JSON.stringify(start)], { stdio: 'inherit' });
      const ended = once(child, 'close');
      let calls = this.#random.integer(1, 90);
      for (const [at, proxy] of this.#rig.proxies.entries()) {
        proxy.decide = (call) => {
          calls -= 1;
          if (calls === 0) child.kill('SIGKILL');
          return decide[at]!(call);
        };
      }
      const [, signal] = (await ended) as [number | null, string | null];
      if (signal !== 'SIGKILL') throw new Error(`the process ended by itself: ${String(signal)}`);
      this.script.push(`kill -9 at ${first!.calls.at(-1)?.method ?? 'nothing'}`);
      this.counts.kills += 1;
      await this.#chainMoves();
    }
    // The times in the store are real ones now.
    this.#nowMs = Date.now();
  }

  /** No faults any more: whatever state was reached, it must come to an end by itself. */
  async recover(): Promise<void> {
    this.script.push('faults stop');
    this.#hasRecovered = true;
    for (const proxy of this.#rig.proxies) {
      proxy.decide = () => 'pass';
      await proxy.passLate();
    }
    this.#crashAt = undefined;
    await this.#request('evm_setAutomine', [true]);
    this.#kill('a last time');
    for (let i = 0; i < roundsToEndMax; i++) {
      await this.#request('evm_mine', []);
      await this.#round();
      const open = this.#open();
      if (open.length === 0) return;
      if (open.every(({ state }) => state === 'confirmed' || state === 'superseded')) {
        await this.#request('anvil_mine', ['0x42']);
      }
    }
  }

  /** By the chain's own word. */
  async judge(): Promise<Outcome> {
    const { world, orderIds, baseNonce } = this.#rig;
    const problems: string[] = [];
    for (const orderId of orderIds) {
      const count = await countCancelled(world, orderId);
      const actions = this.#life!.store.outbox.ofOrder(orderId);
      if (count !== 1) {
        const known = actions.map(({ state, reason, mined }) => ({ state, reason, mined }));
        problems.push(`order ${orderId}: expected 1 cancellation on the chain, got ${count}: ${show(known)}`);
      }
      for (const { id, state, reason } of actions) {
        if (state !== 'finalized') problems.push(`action ${id}: expected finalized, got ${state} (${reason ?? ''})`);
      }
    }
    const [latest, pending] = [await nonceOf(world, 'latest'), await nonceOf(world, 'pending')];
    if (latest !== pending) problems.push(`nonces: expected none pending, got ${latest} to ${pending}`);
    this.counts.transactions = latest - baseNonce;
    this.#listen();
    return { problems, script: this.script, counts: this.counts, said: this.said };
  }

  end(): void {
    this.#life?.close();
  }

  #listen(): void {
    for (const { event } of this.#life?.lines.splice(0) ?? []) this.said.set(event, (this.said.get(event) ?? 0) + 1);
  }

  #open(): Action[] {
    return this.#life?.store.outbox.open() ?? [];
  }

  async #round(): Promise<void> {
    this.#nowMs += roundMs;
    this.#life ??= this.#openLife();
    try {
      await this.#life.round();
    } catch (error) {
      if (error instanceof Crash) {
        this.#kill(`at ${error.message}`);
      } else if (error instanceof OperatingError) {
        this.script.push(`round ended by ${error.code}: ${error.message}`);
        // The process ends with an error that is not to be tried again; its supervisor starts it anew.
        if (error.retry === 'never') this.#kill(error.code);
      } else {
        throw error;
      }
    }
  }

  #openLife(): Life {
    const mayCrash = !this.#hasRecovered && this.#random.next() < 0.6;
    this.#crashAt = mayCrash ? this.#random.pick(crashPoints) : undefined;
    let passes = this.#random.integer(0, 2);
    return new Life(this.#rig.world, this.#folder, {
      rpcUrl: this.#urls,
      policy,
      pace: { ...realClock, nowMs: () => this.#nowMs },
      chain: { timeoutMs: this.#hasRecovered ? patienceMs : hangMs, pace: { nowMs: () => this.#nowMs } },
      onCrashPoint: (name) => {
        if (name !== this.#crashAt || passes-- > 0) return;
        this.#crashAt = undefined;
        throw new Crash(name);
      },
    });
  }

  #kill(why: string): void {
    this.script.push(`kill ${why}`);
    this.counts.kills += 1;
    this.#listen();
    this.#life?.close();
    this.#life = this.#openLife();
  }

  /** Between two rounds: blocks, a branch that is gone, somebody else who reports. */
  async #chainMoves(): Promise<void> {
    await this.#quiet();
    const chance = this.#random.next();
    if (chance < 0.3) {
      await this.#mine(this.#random.integer(1, 3));
    } else if (chance < 0.4) {
      await this.#mine(this.#random.integer(8, 60));
    } else if (chance < 0.65) {
      await this.#reorganise();
    } else if (chance < 0.68) {
      await this.#otherReports();
    }
    await this.#quiet();
    await this.#look();
    this.#snapshots.push({ id: await this.#request<string>('evm_snapshot'), number: this.#number });
  }

  /**
   * A snapshot while anvil makes a block by itself has that block's state under the number of the one before: going
   * back to it, transactions have had their effect and are in no block. One asked for comes after such a block.
   */
  async #quiet(): Promise<void> {
    if (this.#isAuto) await this.#request('evm_mine', []);
  }

  async #mine(count: number): Promise<void> {
    this.script.push(`mine ${count}`);
    await this.#request('anvil_mine', [`0x${count.toString(16)}`]);
  }

  /** Back to where the chain was, by 1 to 64 blocks, and never behind what was final. */
  async #reorganise(): Promise<void> {
    const may = this.#snapshots.filter(({ number }) => number < this.#number && number >= this.#finalNumber);
    if (may.length === 0) return;
    const to = this.#random.pick(may);
    this.script.push(`reorganise ${this.#number - to.number} deep, to ${to.number}`);
    this.counts.reorgs += 1;
    this.#oldBlock = await this.#request<unknown>('eth_getBlockByNumber', ['latest', false]);
    await this.#request('evm_revert', [to.id]);
    this.#snapshots = this.#snapshots.slice(0, this.#snapshots.indexOf(to));
    // Else the branches would be the same, block by block, up to the point where they differ.
    await this.#request('evm_increaseTime', [this.#random.integer(1, 30)]);
    await this.#mine(this.#random.integer(1, 4));
  }

  async #otherReports(): Promise<void> {
    const { world, orderIds } = this.#rig;
    const { chain } = world.anvil;
    const [action] = this.#life?.store.outbox.ofOrder(this.#random.pick(orderIds)) ?? [];
    if (action === undefined) return;
    this.script.push(`somebody else reports order ${action.orderId}`);
    const { calldata } = JSON.parse(action.evidence) as EvidenceRecord;
    const account = chain.account(7);
    const count = await this.#request<string>('eth_getTransactionCount', [account.address, 'pending']);
    const dear = { gasMax: 3_000_000n, feeWeiMax: 10n ** 12n, priorityFeeWei: 10n ** 11n };
    const call = { to: world.contracts.Shipments.address, calldata, nonce: Number(count), ...dear };
    const { raw } = await account.sign(call, chain.chainId);
    await this.#request('eth_sendRawTransaction', [raw]);
  }

  async #look(): Promise<void> {
    this.#number = Number(await this.#request<string>('eth_blockNumber', []));
    this.#finalNumber = Math.max(this.#finalNumber, this.#number - finalityBlocks);
  }

  #decide(call: RpcCall, endpoint: number, rate: number): Fate {
    if (this.#random.next() >= rate) return 'pass';
    const lie = this.#random.next() < 0.35 ? lieAbout(call, this.#oldBlock as BlockName, this.#random) : undefined;
    const fate = lie?.fate ?? this.#random.pick(faults);
    this.counts.faults += 1;
    if (lie !== undefined) this.counts.lies += 1;
    this.script.push(`${endpoint}: ${call.method}(${short(call.params)}) ${lie?.name ?? JSON.stringify(fate)}`);
    return fate;
  }

  #request<Answer>(method: string, params: readonly unknown[] = []): Promise<Answer> {
    return this.#rig.world.anvil.chain.request<Answer>(method, params);
  }
}

function show(known: unknown): string {
  return JSON.stringify(known, (_key, value: unknown) => (typeof value === 'bigint' ? value.toString() : value));
}

function short(params: readonly unknown[]): string {
  return JSON.stringify(params).slice(0, 24);
}

async function nonceOf({ anvil: { chain } }: World, at: 'latest' | 'pending'): Promise<number> {
  return Number(await chain.request<string>('eth_getTransactionCount', [chain.account(9).address, at]));
}

const cancelled = new Interface(JSON.stringify(loadArtifact('Shipments').abi)).getEvent('OrderCancelled')!.topicHash;

async function countCancelled({ anvil, contracts }: World, orderId: string): Promise<number> {
  const topics = [cancelled, `0x${BigInt(orderId).toString(16).padStart(64, '0')}`];
  const filter = { fromBlock: '0x0', toBlock: 'latest', address: contracts.Shipments.address, topics };
  return (await anvil.chain.request<unknown[]>('eth_getLogs', [filter])).length;
}
