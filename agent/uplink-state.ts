/** One way of one device to the oracles: whether it is up, and for each log what waits, since when and why. */
import { bytesEqual, bytesToHex } from '@coldproof/wire';
import { Bell } from './bell.ts';
import type { UplinkConfig } from './config-uplink.ts';
import type { LogCursor } from './journal-receipts.ts';
import type { LogKeys } from './log-key.ts';
import type { LogWindow } from './log-window.ts';

export type LogStatus = {
  /** SHA-256 of the log's key, hex. */
  readonly log: string;
  /** The lowest sequence that it has given no receipt for. */
  readonly next: number;
  /** Batches from there to the newest. */
  readonly lag: number;
  readonly receipts: number;
  /** Batches that it cannot get from here any more. */
  readonly missed: number;
  /** Sent and not answered. */
  readonly inFlight: number;
  /** Undefined when it has all. */
  readonly waiting: { readonly sec: number; readonly why: string } | undefined;
};

export type LinkStatus = {
  readonly uplink: string;
  readonly connected: boolean;
  readonly why: string | undefined;
  /** ISO 8601: how long it has been so. */
  readonly since: string;
  readonly logs: readonly LogStatus[];
};

export class UplinkState {
  readonly config: UplinkConfig;
  readonly logKeys: LogKeys;
  readonly bell = new Bell();
  #isConnected = false;
  #why: string | undefined = 'not tried yet';
  #since: { readonly wallMs: number; readonly monotonicMs: number };
  #windows: readonly LogWindow[] = [];

  constructor(config: UplinkConfig, logKeys: LogKeys, wallMs: number, monotonicMs: number) {
    this.config = config;
    this.logKeys = logKeys;
    this.#since = { wallMs, monotonicMs };
  }

  get link(): { readonly connected: boolean; readonly why: string | undefined } {
    return { connected: this.#isConnected, why: this.#why };
  }

  /** `since` stays while the state is the same: the first failure of many is when it began. */
  change(isConnected: boolean, why: string | undefined, wallMs: number, monotonicMs: number): void {
    if (isConnected !== this.#isConnected) this.#since = { wallMs, monotonicMs };
    this.#isConnected = isConnected;
    this.#why = why;
    if (!isConnected) this.#windows = [];
  }

  watch(windows: readonly LogWindow[]): void {
    this.#windows = windows;
  }

  status(cursors: readonly LogCursor[], head: number, monotonicMs: number): LinkStatus {
    const logs = cursors
      .filter(({ log }) => this.logKeys.logs.some((each) => bytesEqual(each, log)))
      .map((cursor) => this.#logStatus(cursor, head, monotonicMs));
    const { name: uplink } = this.config;
    return { uplink, ...this.link, since: new Date(this.#since.wallMs).toISOString(), logs };
  }

  #logStatus({ log, next, receipts, missed }: LogCursor, head: number, nowMs: number): LogStatus {
    const window = this.#windows.find((each) => bytesEqual(each.log, log));
    const waiting = head === next ? undefined : this.#waitingOf(window, nowMs);
    const lag = head - next;
    return { log: bytesToHex(log), next, lag, receipts, missed, inFlight: window?.inFlight ?? 0, waiting };
  }

  #waitingOf(window: LogWindow | undefined, nowMs: number): { sec: number; why: string } {
    const since = window?.waitingSinceMs ?? this.#since.monotonicMs;
    const sec = Math.max(0, Math.floor((nowMs - since) / 1_000));
    if (!this.#isConnected) return { sec, why: `no connection: ${this.#why ?? 'not tried yet'}` };
    const resends = window?.resends ?? 0;
    return { sec, why: resends === 0 ? 'sent, receipt awaited' : `no receipt, sent again ${resends} times` };
  }
}
