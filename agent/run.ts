/**
 * The agent as a process: from a configuration until a signal. On SIGHUP it takes a new configuration, and only if the
 * whole of it is in order; else it says what is wrong and goes on with the one it has. What is under way is no concern:
 * the journal has it, and a sensor without its PUBACK sends again.
 */
import { join } from 'node:path';
import { startAgent, type RunningAgent } from './agent.ts';
import { clockOf, monotonicClock, type Clock } from './clock.ts';
import type { Amend } from './config-remote.ts';
import type { AgentConfig } from './config.ts';
import type { UplinkConfig } from './config-uplink.ts';
import { Journal } from './journal.ts';
import { openKeyFile, type KeyStore } from './key-store.ts';
import { mqttLink, type Link } from './link.ts';
import { readLinkTls, type LinkTls } from './link-tls.ts';
import { jsonLog, type Log } from './log-line.ts';
import { describeError, OperatingError } from './operating-error.ts';
import { OwnerDesk } from './owner-desk.ts';
import { readSecrets } from './secret.ts';
import { systemdSupervisor } from './systemd.ts';
import { startProven, trialTimes } from './trial.ts';

const expiringMs = 14 * 86_400_000;

export function keyPath({ stateDir }: AgentConfig, device: string): string {
  return join(stateDir, 'keys', `${device}.json`);
}

/** The configuration's file. Both throw `config-invalid`, `check` with all problems. */
export type ConfigSource = { read(): string; check(yaml: string, amend?: Amend): AgentConfig };

/** Returns after a stop. */
export async function runAgent(source: ConfigSource): Promise<void> {
  const clock = clockOf(process.env['COLDPROOF_DEMONSTRATION_CLOCK']);
  const log = jsonLog(
    (line) => process.stderr.write(line),
    () => clock.nowMs(),
  );
  /** As it was last taken: what is tried from afar does not bring in what somebody is just editing. */
  let yaml = source.read();
  const stopping = new AbortController();
  /** Asked anew after each wait: signals come in between. */
  const isStopping = () => stopping.signal.aborted;
  /** By a SIGHUP or the owner, and not begun with yet. */
  let wanted: Wanted | undefined;
  let isStarting = true;
  let agent: RunningAgent | undefined;
  const supervisor = systemdSupervisor(process.env, log, () => isStarting || agent?.isReady === true || !!wanted);
  const stopAgent = () => {
    // What it ended with is told by `finished`.
    agent?.stop().catch((error: unknown) => log('error', 'stop-failed', { why: describeError(error) }));
  };
  const want = (next: Wanted) => {
    wanted ??= next;
    if (!isStarting) stopAgent();
  };
  const check = (amend?: Amend) => ownedCheck(source, yaml, amend);
  const { stateDir } = source.check(yaml);
  const desk = new OwnerDesk(stateDir, { clock, log, check, onRestart: () => want({ yaml, by: 'owner' }) });
  const begin = async () => {
    const startOne = async (config: AgentConfig) => (agent = await start(config, { clock, log, desk }));
    await startProven(desk, startOne, { timer: monotonicClock, stopping: stopping.signal, times: trialTimes });
  };
  const stop = (signal: NodeJS.Signals) => {
    log('info', 'stopping', { signal });
    stopping.abort();
    supervisor.stopping();
    stopAgent();
  };
  process.once('SIGTERM', stop);
  process.once('SIGINT', stop);
  process.on('SIGHUP', () => {
    if (isStopping() || isStarting || wanted !== undefined) return;
    const accepted = acceptable(source, stateDir, desk, log);
    if (accepted === undefined) return;
    supervisor.reloading();
    want({ yaml: accepted, by: 'signal' });
  });
  let taken: Wanted = { yaml, by: 'owner' };
  for (;;) {
    const before = yaml;
    ({ yaml } = taken);
    await begin().catch((error: unknown) => {
      if (!(error instanceof OperatingError) || yaml === before) throw error;
      // A port or the like is not to be had after all.
      log('error', 'reload-refused', { code: error.code, message: error.message });
      yaml = before;
      taken = { yaml, by: 'owner' };
      return begin();
    });
    if (taken.by === 'signal') log('info', 'reloaded', { devices: check().devices.length });
    isStarting = false;
    if (isStopping() || wanted !== undefined) stopAgent();
    supervisor.ready();
    await agent!.finished;
    if (isStopping() || wanted === undefined) break;
    taken = wanted;
    wanted = undefined;
    isStarting = true;
  }
  log('info', 'stopped');
}

type Wanted = { readonly yaml: string; readonly by: 'signal' | 'owner' };

/** Without an owner in the file, nothing from afar is put over it. */
function ownedCheck(source: ConfigSource, yaml: string, amend: Amend | undefined): AgentConfig {
  const bare = source.check(yaml);
  return amend === undefined || bare.owner === undefined ? bare : source.check(yaml, amend);
}

/** The text of the new file, if the agent can start with it as far as that can be known while it runs. */
function acceptable(source: ConfigSource, stateDir: string, desk: OwnerDesk, log: Log): string | undefined {
  try {
    const yaml = source.read();
    const next = ownedCheck(source, yaml, desk.amend());
    if (next.stateDir !== stateDir) {
      const bound = `stateDir: expected ${stateDir} as before, got ${next.stateDir}; that needs a restart`;
      throw new OperatingError('config-invalid', bound, { retry: 'never' });
    }
    // Missing secrets, keys that are not there or do not open, certificates: all before anything is given up.
    openKeys(next, readSecrets(next, process.env).passphrase);
    readCertificates(next);
    return yaml;
  } catch (error) {
    if (!(error instanceof OperatingError)) throw error;
    log('error', 'reload-refused', { code: error.code, message: error.message });
    return undefined;
  }
}

async function start(
  config: AgentConfig,
  { clock, log, desk }: { readonly clock: Clock; readonly log: Log; readonly desk: OwnerDesk },
): Promise<RunningAgent> {
  const { passphrase, uplinkPasswords, sensorPasswords } = readSecrets(config, process.env);
  const certificates = readCertificates(config);
  tellExpiring(certificates, clock, log);
  const keyStores = openKeys(config, passphrase);
  const journal = Journal.open(config.stateDir);
  const linkOf = ({ name, url, username, mqtt }: UplinkConfig): Link =>
    mqttLink({ url, username, mqtt, password: uplinkPasswords.get(name), tls: certificates.get(name) });
  const links = new Map(config.uplinks.map((uplink) => [uplink.name, linkOf(uplink)]));
  const deps = { clock, random: Math.random, log, journal, links, keyStores, sensorPasswords, ownerDesk: desk };
  const agent = await startAgent(config, deps);
  const { httpPort, brokerPort } = agent;
  // What a crash or a failed write has left is what is here: nothing else was ever acknowledged.
  const { isRecovered } = journal;
  for (const { name, unsealed, queued, dropped, sealed } of agent.status().devices) {
    log('info', 'resumed', { device: name, isRecovered, unsealed, queued, dropped, nextSequence: sealed });
  }
  log('info', 'started', { pid: process.pid, httpPort, brokerPort, devices: config.devices.length });
  return agent;
}

/** By name of the uplink, as the files are now. */
function readCertificates({ uplinks }: AgentConfig): Map<string, LinkTls> {
  return new Map(uplinks.flatMap(({ name, tls }) => (tls === undefined ? [] : [[name, readLinkTls(name, tls)]])));
}

/** Before the oracle refuses it: who renews it needs some days. */
function tellExpiring(certificates: ReadonlyMap<string, LinkTls>, clock: Clock, log: Log): void {
  for (const [uplink, { expiresAtMs }] of certificates) {
    if (expiresAtMs === undefined || expiresAtMs - clock.nowMs() > expiringMs) continue;
    log('warn', 'certificate-expires', { uplink, at: new Date(expiresAtMs).toISOString() });
  }
}

function openKeys(config: AgentConfig, passphrase: string): Map<string, KeyStore> {
  return new Map(config.devices.map(({ name }) => [name, openKeyFile(keyPath(config, name), passphrase)]));
}
