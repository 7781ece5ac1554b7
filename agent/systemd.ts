/**
 * What systemd wants to hear of a service with Type=notify (sd_notify(3)): ready, alive, stopping. Node has no datagram
 * socket of the unix family, so systemd-notify says it for us; the unit allows that with NotifyAccess=all.
 */
import { execFile } from 'node:child_process';
import type { Log } from './log-line.ts';
import { describeError } from './operating-error.ts';

export type Supervisor = {
  ready(): void;
  /** From RELOADING=1 on systemd waits for the next READY=1. */
  reloading(): void;
  stopping(): void;
};

type Environment = { readonly [name: string]: string | undefined };

/** systemd-notify waits until systemd has read it; it never should be long. */
const notifyMsMax = 5_000;

/** Under systemd; elsewhere it does nothing. `isAlive` is asked before each sign of life. */
export function systemdSupervisor(environment: Environment, log: Log, isAlive: () => boolean): Supervisor {
  if (environment['NOTIFY_SOCKET'] === undefined) {
    return { ready: () => undefined, reloading: () => undefined, stopping: () => undefined };
  }
  const notify = (...states: string[]) => {
    execFile('systemd-notify', states, { timeout: notifyMsMax }, (error) => {
      // Without signs of life systemd restarts us, which is all that can be done here.
      if (error !== null) log('warn', 'systemd-notify-failed', { why: describeError(error) });
    });
  };
  const watchdogUsec = Number(environment['WATCHDOG_USEC']);
  let watchdog: NodeJS.Timeout | undefined;
  return {
    ready() {
      notify('READY=1');
      if (!(watchdogUsec > 0)) return;
      // Half of the time, as sd_watchdog_enabled(3) recommends. A stuck event loop sends nothing.
      watchdog ??= setInterval(() => {
        if (isAlive()) notify('WATCHDOG=1');
      }, watchdogUsec / 2_000).unref();
    },
    reloading() {
      // CLOCK_MONOTONIC in microseconds, which process.hrtime has on Linux; systemd from 253 on asks for it.
      notify('RELOADING=1', `MONOTONIC_USEC=${process.hrtime.bigint() / 1_000n}`);
    },
    stopping() {
      clearInterval(watchdog);
      notify('STOPPING=1');
    },
  };
}
