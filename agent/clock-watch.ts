/**
 * The clock that readings are dated by, and whether it is to be trusted. A gateway's clock starts in 1970, is set by a
 * network that comes and goes, and steps. Each reading that was dated by a clock of which nobody knows that it is right
 * is flagged in its batch (0x0100), and is no evidence.
 *
 *   system   the system's clock while the kernel says that it is synchronised; else it goes on from the last time that
 *            was, by the monotonic clock, whatever the system's clock does meanwhile. A step into the future would
 *            otherwise date readings so that an oracle refuses them, and all that follow; a step back would make
 *            every reading look like an old one.
 *   gps      the receiver's time, and on from it by the monotonic clock
 *   none     the system's clock as it is
 */
import { execFile } from 'node:child_process';
import { existsSync } from 'node:fs';
import type { Clock } from './clock.ts';
import type { ClockConfig } from './config-clock.ts';
import type { Log } from './log-line.ts';
import { clockSetSec } from './sample.ts';

export type ClockAnswer = { readonly isSynchronised: boolean; readonly why: string };

export type ClockStatus = {
  readonly source: ClockConfig['source'];
  /** Undefined when nothing is asked. */
  readonly synchronised: boolean | undefined;
  readonly why: string;
  /** Changes of the time by more than two seconds, since the start. */
  readonly steps: number;
};

export type ClockWatchDeps = {
  readonly clock: Clock;
  /** Monotonic. */
  readonly timer: Clock;
  readonly askSystem: () => Promise<ClockAnswer>;
  readonly log: Log;
};

const stepMsMin = 2_000;
const askMs = 60_000;
/** A receiver's sentence says its second some time after it has begun. */
const gpsJitterMs = 1_000;
/** 4 s of drift at the 50 ppm of a plain crystal. */
const gpsHoldMs = 86_400_000;
const answerMsMax = 5_000;

export class ClockWatch implements Clock {
  readonly #config: ClockConfig;
  readonly #deps: ClockWatchDeps;
  /** A moment on both clocks. */
  #anchor: { readonly ms: number; readonly timerMs: number };
  #answer: ClockAnswer = { isSynchronised: false, why: 'not asked yet' };
  #fixTimerMs: number | undefined;
  #steps = 0;

  constructor(config: ClockConfig, deps: ClockWatchDeps) {
    this.#config = config;
    this.#deps = deps;
    this.#anchor = { ms: deps.clock.nowMs(), timerMs: deps.timer.nowMs() };
  }

  nowMs(): number {
    const { clock } = this.#deps;
    if (this.#config.source === 'none') return clock.nowMs();
    if (this.#config.source === 'system' && this.#answer.isSynchronised) this.#set(clock.nowMs(), stepMsMin);
    return this.#steadyMs();
  }

  wait(ms: number, signal?: AbortSignal): Promise<void> {
    return this.#deps.clock.wait(ms, signal);
  }

  /** False when it is known, or has to be feared, that the time is wrong. */
  get isTrusted(): boolean {
    return this.status().synchronised !== false;
  }

  status(): ClockStatus {
    const { source } = this.#config;
    if (source === 'none') return { source, synchronised: undefined, why: 'not asked', steps: this.#steps };
    const { isSynchronised, why } = source === 'gps' ? this.#answerOfGps() : this.#answer;
    return { source, synchronised: isSynchronised, why, steps: this.#steps };
  }

  /** Time of a position with a fix. */
  noteTime(line: string, timeSec: number): void {
    if (this.#config.source !== 'gps' || this.#config.line !== line) return;
    // A receiver that has lost count of its 1,024-week epochs says a date of some twenty years ago.
    if (timeSec < clockSetSec) return;
    this.#set(timeSec * 1_000, gpsJitterMs);
    this.#fixTimerMs = this.#deps.timer.nowMs();
  }

  /** Asks, and goes on asking until `signal` is aborted. */
  async run(signal: AbortSignal): Promise<void> {
    while (this.#config.source === 'system' && !signal.aborted) {
      await this.ask();
      await this.#deps.timer.wait(askMs, signal);
    }
  }

  async ask(): Promise<void> {
    if (this.#config.source !== 'system') return;
    // What is read until now is of the answer before.
    this.nowMs();
    const answer = await this.#deps.askSystem();
    if (answer.isSynchronised !== this.#answer.isSynchronised) {
      this.#deps.log(answer.isSynchronised ? 'info' : 'warn', 'clock-synchronised', {
        synchronised: answer.isSynchronised,
        why: answer.why,
      });
    }
    this.#answer = answer;
  }

  #answerOfGps(): ClockAnswer {
    if (this.#fixTimerMs === undefined) return { isSynchronised: false, why: 'no fix yet' };
    const ageMs = this.#deps.timer.nowMs() - this.#fixTimerMs;
    return { isSynchronised: ageMs <= gpsHoldMs, why: `last fix ${Math.floor(ageMs / 1_000)} s ago` };
  }

  #steadyMs(): number {
    return this.#anchor.ms + (this.#deps.timer.nowMs() - this.#anchor.timerMs);
  }

  /** `toleranceMs`: what is less than this off is no reason to set anything. */
  #set(ms: number, toleranceMs: number): void {
    const byMs = Math.round(ms - this.#steadyMs());
    const isStep = Math.abs(byMs) >= stepMsMin;
    if (isStep) {
      this.#steps += 1;
      const { source } = this.#config;
      this.#deps.log('warn', 'clock-step', { source, byMs, time: new Date(ms).toISOString() });
    }
    // The system's clock is slewed as well as stepped, so it is followed always.
    if (this.#config.source === 'system' || Math.abs(byMs) > toleranceMs) {
      this.#anchor = { ms, timerMs: this.#deps.timer.nowMs() };
    }
  }
}

/**
 * timedatectl tells the kernel's own flag (adjtimex(2), STA_UNSYNC), whoever disciplines the clock; chronyc answers
 * where there is no systemd; the file is systemd-timesyncd's.
 */
export async function askSystemClock(): Promise<ClockAnswer> {
  const said = await answerOf('timedatectl', ['show', '--property=NTPSynchronized', '--value']);
  if (said === 'yes' || said === 'no') return { isSynchronised: said === 'yes', why: `timedatectl: ${said}` };
  const tracking = await answerOf('chronyc', ['-c', 'tracking']);
  const leap = tracking?.split(',').at(-1);
  if (leap !== undefined && leap !== '') {
    return { isSynchronised: leap !== 'Not synchronised', why: `chronyc: ${leap}` };
  }
  if (existsSync('/run/systemd/timesync/synchronized')) return { isSynchronised: true, why: 'systemd-timesyncd' };
  return { isSynchronised: false, why: 'neither timedatectl nor chronyc answers' };
}

function answerOf(program: string, args: readonly string[]): Promise<string | undefined> {
  return new Promise((resolve) => {
    execFile(program, args, { timeout: answerMsMax }, (error, out) => {
      resolve(error === null ? out.trim() : undefined);
    });
  });
}
