/**
 * The agent as a process: from a configuration until a signal. On SIGHUP it takes a new configuration, and only if the
 * whole of it is in order; else it says what is wrong and goes on with the one it has. What is under way is no concern:
 * the journal has it, and a sensor without its PUBACK sends again.
 */
import { startAgent, type RunningAgent } from './agent.ts';
import { clockOf, type Clock } from './clock.ts';
import type { AgentConfig } from './config.ts';
import type { UplinkConfig } from './config-uplink.ts';
import { Journal } from './journal.ts';
import { formerKeys, openKeys } from './key-ring.ts';
import { mqttLink, type Link } from './link.ts';
import { readLinkTls, type LinkTls } from './link-tls.ts';
import { jsonLog, type Log } from './log-line.ts';
import { describeError, OperatingError } from './operating-error.ts';
import { readSecrets } from './secret.ts';
import { systemdSupervisor } from './systemd.ts';

const expiringMs = 14 * 86_400_000;

/** `load` reads and checks the file; it throws `config-invalid` with all problems. Returns after a stop. */
export async function runAgent(load: () => AgentConfig): Promise<void> {
  const clock = clockOf(process.env['COLDPROOF_DEMONSTRATION_CLOCK']);
  const log = jsonLog(
    (line) => process.stderr.write(line),
    () => clock.nowMs(),
  );
  let config = load();
  let agent = await start(config, clock, log);
  const stopping = new AbortController();
  /** Asked anew after each wait: signals come in between. */
  const isStopping = () => stopping.signal.aborted;
  /** Set between a SIGHUP and the start with what it brought. */
  let next: AgentConfig | undefined;
  const supervisor = systemdSupervisor(process.env, log, () => agent.isReady || next !== undefined);
  const stopAgent = () => {
    // What it ended with is told by `finished`.
    agent.stop().catch((error: unknown) => log('error', 'stop-failed', { why: describeError(error) }));
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
    if (isStopping() || next !== undefined) return;
    next = acceptable(load, config, log);
    if (next === undefined) return;
    supervisor.reloading();
    stopAgent();
  });
  while (!isStopping()) {
    supervisor.ready();
    await agent.finished;
    if (isStopping() || next === undefined) break;
    ({ agent, config } = await restart(next, config, clock, log));
    next = undefined;
    // A signal to stop may have come in between, and has met the agent that was.
    if (isStopping()) await agent.stop();
  }
  log('info', 'stopped');
}

/** With `next`; or with `current` again, when a port or the like is not to be had after all. */
async function restart(next: AgentConfig, current: AgentConfig, clock: Clock, log: Log) {
  try {
    const agent = await start(next, clock, log);
    log('info', 'reloaded', { devices: next.devices.length });
    return { agent, config: next };
  } catch (error) {
    if (!(error instanceof OperatingError)) throw error;
    log('error', 'reload-refused', { code: error.code, message: error.message });
    return { agent: await start(current, clock, log), config: current };
  }
}

/** The new configuration, if the agent can start with it as far as that can be known while it runs. */
function acceptable(load: () => AgentConfig, current: AgentConfig, log: Log): AgentConfig | undefined {
  try {
    const next = load();
    if (next.stateDir !== current.stateDir) {
      const bound = `stateDir: expected ${current.stateDir} as before, got ${next.stateDir}; that needs a restart`;
      throw new OperatingError('config-invalid', bound, { retry: 'never' });
    }
    // Missing secrets, keys that are not there or do not open, certificates: all before anything is given up.
    openKeys(next, { ...readSecrets(next, process.env), isAttended: false });
    readCertificates(next);
    return next;
  } catch (error) {
    if (!(error instanceof OperatingError)) throw error;
    log('error', 'reload-refused', { code: error.code, message: error.message });
    return undefined;
  }
}

async function start(config: AgentConfig, clock: Clock, log: Log): Promise<RunningAgent> {
  const { uplinkPasswords, sensorPasswords, ...keySecrets } = readSecrets(config, process.env);
  const certificates = readCertificates(config);
  tellExpiring(certificates, clock, log);
  const keyStores = openKeys(config, { ...keySecrets, isAttended: false });
  const journal = Journal.open(config.stateDir);
  const linkOf = ({ name, url, username, mqtt }: UplinkConfig): Link =>
    mqttLink({ url, username, mqtt, password: uplinkPasswords.get(name), tls: certificates.get(name) });
  const links = new Map(config.uplinks.map((uplink) => [uplink.name, linkOf(uplink)]));
  const former = new Map(config.devices.map(({ name }) => [name, formerKeys(config, name)]));
  const own = { keyStores, sensorPasswords, formerKeys: former };
  const deps = { clock, random: Math.random, log, journal, links, ...own };
  const agent = await startAgent(config, deps);
  const { httpPort, brokerPort } = agent;
  // What a crash or a failed write has left is what is here: nothing else was ever acknowledged.
  for (const { name, unsealed, queued, sealed } of agent.status().devices) {
    log('info', 'resumed', { device: name, unsealed, queued, nextSequence: sealed });
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
