/** Everything that the agent turns away, by reason. It harms nothing but must be seen: in /status and in the log. */
import type { Log } from './log-line.ts';
import type { SampleReason } from './sample.ts';
import type { NmeaReason } from './sensors/nmea.ts';
import type { SenmlReason } from './sensors/senml.ts';
import type { SparkplugReason } from './sensors/sparkplug.ts';
import type { TextLineReason } from './sensors/text-line.ts';
import type { MappingReason } from './sensors/value-mapping.ts';

export type RefusalReason =
  | SampleReason
  | SenmlReason
  | MappingReason
  | TextLineReason
  | NmeaReason
  | SparkplugReason
  /** A local sensor with a wrong name or password. */
  | 'sensor-credentials-wrong'
  /** A topic that the sensor's credentials do not cover, or that belongs to no sensor. */
  | 'topic-not-allowed'
  /** `$SYS`, which steers the broker itself, or a topic of Sparkplug commands, which are the agent's alone. */
  | 'topic-reserved'
  /** A retained reading would be served again as if it were new. */
  | 'publish-retained'
  | 'packet-too-large'
  /** Outside the agent's own topics, of a device not to be read, or for a session that outlives its connection. */
  | 'subscription-not-allowed'
  /** A reader that does not keep up: it loses readings of the local feed, and the journal loses nothing. */
  | 'reader-slow'
  /** A last will is sent by the broker, not by the sensor: no reading. */
  | 'will-not-allowed'
  /** A name in the pack that no sensor of the configuration has. */
  | 'sensor-unknown'
  /** A line on which no sensor's pattern or pointer finds anything: a banner, or a wrong pattern. */
  | 'line-unmatched'
  /** No answer on the serial line in time. */
  | 'poll-timeout'
  /** An answer that is not what was asked for: checksum, length, unit, function. */
  | 'poll-answer-invalid'
  /** The slave's own refusal (Modbus exception). */
  | 'poll-exception'
  /** The serial line was away at the time of a poll. */
  | 'poll-line-down'
  /** Not the owner's word, or not newer than what the device has. */
  | 'config-refused'
  /** Not the owner's word, expired, or not to be done now. */
  | 'command-refused'
  /** The journal is full, and is to refuse: nothing of the message was taken, and its sensor was not told so. */
  | 'journal-full'
  /** A receipt that wire's verifyReceipt refuses. */
  | 'receipt-invalid'
  /** A receipt of a log that the uplink does not name: of a foreign consortium, or a log that was removed. */
  | 'receipt-of-another-log'
  /** A log has promised another place or another digest for a batch before: it does not keep its promises. */
  | 'receipt-contradicts'
  /** A receipt of another device than the topic's. */
  | 'receipt-of-another-device'
  /** A receipt for another batch of this sequence: the log has something that this device did not send. */
  | 'receipt-of-another-batch'
  /** A receipt for what was never waiting for one, or so long ago that nothing is known of it. */
  | 'receipt-not-awaited';

export type Refuse = (reason: RefusalReason, detail: string) => void;

export class Refusals {
  readonly #counts = new Map<RefusalReason, number>();
  readonly #log: Log;

  constructor(log: Log) {
    this.#log = log;
  }

  /** Counts each, logs the 1st, 10th, 100th...: a hostile sensor must not fill the disk with log. */
  refuse(reason: RefusalReason, detail: string): void {
    const count = (this.#counts.get(reason) ?? 0) + 1;
    this.#counts.set(reason, count);
    if (Number.isInteger(Math.log10(count))) this.#log('warn', 'refused', { reason, detail, count });
  }

  counts(): { readonly [reason: string]: number } {
    return Object.fromEntries(this.#counts);
  }
}
