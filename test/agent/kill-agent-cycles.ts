/**
 * kill -9 of the agent at random moments: while it opens its journal, records, seals, forwards, settles. What a sensor
 * was told arrives, once; no sequence has two contents.
 */
import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { setTimeout as delay } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { connectAsync, type MqttClient } from 'mqtt';
import { bytesToHex } from '@coldproof/wire';
import { Random } from '../helpers/seed.ts';
import { makeKey, sensorPassword, StubOracle, until } from './fixture.ts';
import { judgeKills } from './kill-verdict.ts';

export type AgentKills = {
  readonly acknowledged: number;
  readonly batches: number;
  /** Killed before a sensor could connect, and after. */
  readonly early: number;
  readonly late: number;
  readonly problems: readonly string[];
};

const program = fileURLToPath(new URL('kill-agent.js', import.meta.url));
/** Kills come within this after the start: about what a start and some batches take. */
const lifeMsMax = 120;

/** The iterator is made at once: lines that come before it are lost. */
type Life = { readonly child: ChildProcess; readonly told: AsyncIterator<string> };

class Campaign {
  readonly stateDir = mkdtempSync(join(tmpdir(), 'coldproof-kills-'));
  readonly oracle = new StubOracle();
  readonly keyStore = makeKey(this.stateDir);
  readonly #random: Random;
  /** Of acknowledged readings. */
  readonly acknowledged = new Set<number>();
  #nextSec = Math.floor(Date.now() / 1_000) - 10_000_000;
  early = 0;
  late = 0;

  constructor(seed: number) {
    this.#random = new Random(seed);
    this.oracle.trust(this.keyStore);
  }

  /** Loads while another one runs. */
  spawn(): Life {
    const args = [program, this.stateDir, String(this.oracle.port), bytesToHex(this.oracle.logKey.publicKey)];
    const child = spawn(process.execPath, args, { stdio: ['pipe', 'pipe', 'inherit'] });
    return { child, told: createInterface({ input: child.stdout })[Symbol.asyncIterator]() };
  }

  async live({ child, told }: Life, lifeMs: number | undefined): Promise<void> {
    await told.next();
    const exited = once(child, 'exit');
    const killed = new AbortController();
    child.stdin!.write('go\n');
    // Half of them from here on, while it starts; the others once it takes readings, however slow the machine is.
    const isEarly = this.#random.next() < 0.5;
    const kill = () => (lifeMs === undefined ? undefined : this.#kill(child, lifeMs, killed));
    let end = isEarly ? kill() : undefined;
    const line = await told.next();
    if (!isEarly) end = kill();
    if (line.done === true) this.early += 1;
    else {
      this.late += 1;
      await this.#send(Number(line.value.split(' ')[1]), killed.signal, lifeMs === undefined ? 10 : 10_000);
    }
    await end;
    if (lifeMs === undefined) {
      // Batches come in order, and at most the last five readings wait for theirs.
      const least = Math.max(...this.acknowledged) - 5;
      await until(() => this.#newestSec() >= least, 'the last batch of a quiet life', 60_000);
      child.kill('SIGKILL');
    }
    await exited;
  }

  /** Of what the oracle has. */
  #newestSec(): number {
    const last = this.oracle.stored.get(bytesToHex(this.keyStore.device()))?.at(-1);
    return Math.max(0, ...(last?.series ?? []).flatMap(({ samples }) => samples.map(({ timeSec }) => timeSec)));
  }

  async #kill(child: ChildProcess, lifeMs: number, killed: AbortController): Promise<void> {
    await delay(this.#random.next() * lifeMs);
    child.kill('SIGKILL');
    killed.abort();
  }

  /** One reading after the other, each a second after the one before, until the agent is gone. */
  async #send(port: number, killed: AbortSignal, countMax: number): Promise<void> {
    const login = { username: 'TRUCK-7', password: sensorPassword, reconnectPeriod: 0, connectTimeout: 2_000 };
    const gone = new Promise<false>((resolve) => {
      killed.addEventListener('abort', () => resolve(false));
      if (killed.aborted) resolve(false);
    });
    const connected = connectAsync(`mqtt://127.0.0.1:${port}`, login).catch(() => false as const);
    const sensor = await Promise.race([connected, gone]);
    if (sensor === false) {
      void connected.then((late) => late !== false && late.end(true));
      return;
    }
    sensor.on('error', () => undefined);
    for (let count = 0; count < countMax; count++) {
      if (!(await Promise.race([this.#sendOne(sensor), gone]))) break;
    }
    sensor.end(true);
  }

  async #sendOne(sensor: MqttClient): Promise<boolean> {
    const timeSec = this.#nextSec++;
    const pack = JSON.stringify([{ n: 'TRUCK-7/cargo-probe-1', t: timeSec, v: (timeSec % 400) / 100 }]);
    const isSent = await sensor.publishAsync('sensors/TRUCK-7', pack, { qos: 1 }).then(
      () => true,
      () => false,
    );
    if (isSent) this.acknowledged.add(timeSec);
    return isSent;
  }

  get batches(): number {
    return this.oracle.stored.get(bytesToHex(this.keyStore.device()))?.length ?? 0;
  }
}

export async function agentKills(
  cycles: number,
  seed: number,
  onCycle: (cycle: number) => void = () => undefined,
): Promise<AgentKills> {
  const campaign = new Campaign(seed);
  await campaign.oracle.start();
  let next = campaign.spawn();
  try {
    for (let cycle = 1; cycle <= cycles; cycle++) {
      const life = next;
      next = campaign.spawn();
      await campaign.live(life, lifeMsMax);
      onCycle(cycle);
    }
    // One that is left in peace delivers what the others have left.
    await campaign.live(next, undefined);
    const { acknowledged, batches, early, late, oracle, keyStore, stateDir } = campaign;
    const problems = judgeKills(stateDir, keyStore.device(), oracle, acknowledged);
    return { acknowledged: acknowledged.size, batches, early, late, problems };
  } finally {
    next.child.kill('SIGKILL');
    await campaign.oracle.stop();
    rmSync(campaign.stateDir, { recursive: true, force: true });
  }
}
