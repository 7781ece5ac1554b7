/**
 * A sensor whose firmware holds the key: it seals its samples into batches, signs them itself, and publishes whole
 * envelopes (wire/WIRE.md) with flag 0x0001. The gateway only carries them.
 *
 *   samples --15 of each channel--> sealBatch, sign --> [kept] -- oldest first, QoS 1 --> gateway ~~> oracle
 *                                                         ^
 *                                                         '-- forgotten on the oracle's own receipt, verified
 *
 * A PUBACK says "arrived at the gateway" and frees nothing. Without a receipt for `resendMs`, everything is sent again
 * from the oldest. All of it is a function of the voyage, RFC 6979's nonces too: a restarted device, which samples its
 * voyage from the start, makes the very same batches, where a real one has them in its flash.
 */
import { p256 } from '@noble/curves/nist.js';
import { sha256 } from '@noble/hashes/sha2.js';
import {
  bytesEqual,
  deviceOf,
  digestBatch,
  encodeEnvelope,
  envelopePreimage,
  faultValue,
  flags,
  marks,
  noPrevious,
  parseChannel,
  sealBatch,
  shortHex,
  utf8ToBytes,
  verifyReceipt,
  type Sample,
} from '@coldproof/wire';
import { backOffMs } from './back-off.ts';
import type { Clock } from './clock.ts';
import type { Broker, Link } from './device-mqtt.ts';
import type { Log } from './log-line.ts';
import { OperatingError } from './operating-error.ts';
import type { Random } from './random.ts';
import type { SenmlReading } from './senml.ts';

export type SigningDeviceDeps = {
  readonly realClock: Clock;
  readonly random: Random;
  readonly log: Log;
  readonly openLink: (signal: AbortSignal, session: Pick<Broker, 'will' | 'onMessage'>) => Promise<Link>;
};

export type SigningOptions = {
  readonly secretKey: Uint8Array;
  /** Where envelopes go, and where the oracle's receipts come back. */
  readonly topic: string;
  readonly receiptTopic: string;
  /** Ed25519: the one log whose receipts count. */
  readonly logPublicKey: Uint8Array;
  /** Real milliseconds. */
  readonly resendMs: number;
};

type Kept = { readonly sequence: number; readonly digest: Uint8Array; readonly bytes: Uint8Array };

/** A quarter of an hour at one a minute. */
const sealSamples = 15;

/** What a DS18B20 gives when it is torn off its line, and before its first conversion (its data sheet, table 1). */
const brokenCentiC: readonly number[] = [-12_700, 8_500];

/** A simulated device's key: of another voyage, another key, since one key must never tell two stories. */
export function simulatedKey(voyage: { scenario: string; seed: number; voyageStartSec: number }): Uint8Array {
  const { scenario, seed, voyageStartSec } = voyage;
  const words = `coldproof simulated sensor ${scenario} ${seed} ${voyageStartSec}`;
  // 48 bytes, so that the reduction modulo n has no bias (FIPS 186-5 §A.2.1).
  const [first, second] = [sha256(utf8ToBytes(words)), sha256(utf8ToBytes(`${words} second half`))];
  return p256.utils.randomSecretKey(Uint8Array.from([...first, ...second.subarray(0, 16)]));
}

export function publicKeyOf(secretKey: Uint8Array): Uint8Array {
  return p256.getPublicKey(secretKey, false).subarray(1);
}

export class SigningDevice {
  readonly #deps: SigningDeviceDeps;
  readonly #options: SigningOptions;
  readonly #device: Uint8Array;
  /** Since the last batch: channel -> its samples and marks. */
  #open = new Map<number, { marks: number; samples: Sample[] }>();
  #kept: Kept[] = [];
  #sequence = 0;
  #previous: Uint8Array = noPrevious;
  #wake: () => void = () => undefined;

  constructor(deps: SigningDeviceDeps, options: SigningOptions) {
    this.#deps = deps;
    this.#options = options;
    this.#device = deviceOf(publicKeyOf(options.secretKey));
  }

  /** Batches without a receipt. */
  get kept(): number {
    return this.#kept.length;
  }

  sample(unixSec: number, readings: readonly SenmlReading[]): void {
    for (const reading of readings) {
      const channel = parseChannel(reading.name);
      if (channel === undefined) continue;
      const one = this.#open.get(channel) ?? { marks: 0, samples: [] };
      this.#open.set(channel, one);
      const value = valueOf(reading);
      if (value === undefined) one.marks |= marks.invalidValue;
      one.samples.push({ timeSec: unixSec, value: value ?? faultValue(channel) });
    }
    const longest = Math.max(...[...this.#open.values()].map(({ samples }) => samples.length));
    if (longest >= sealSamples) this.#seal(unixSec);
  }

  #seal(sealedAtSec: number): void {
    const series = [...this.#open].sort(([a], [b]) => a - b).map(([channel, one]) => ({ channel, ...one }));
    this.#open = new Map();
    const link = { device: this.#device, sequence: this.#sequence, previous: this.#previous };
    const sealed = sealBatch(series, { ...link, flags: flags.sensorSigned, sealedAtSec });
    const signature = p256.sign(envelopePreimage(sealed.encoded), this.#options.secretKey, { lowS: true });
    const bytes = encodeEnvelope({ batch: sealed.encoded, signature, series: sealed.series });
    const digest = digestBatch(sealed.encoded);
    this.#kept.push({ sequence: this.#sequence, digest, bytes });
    this.#deps.log('info', 'batch-signed', { sequence: this.#sequence, digest: shortHex(digest) });
    this.#sequence += 1;
    this.#previous = digest;
    this.#wake();
  }

  /** Until `signal` is aborted. */
  async run(signal: AbortSignal): Promise<void> {
    const jitter = this.#deps.random.fork('signed-back-off');
    let failures = 0;
    while (!signal.aborted) {
      try {
        await this.#live(signal, () => (failures = 0));
      } catch (error) {
        if (!(error instanceof OperatingError)) throw error;
        this.#deps.log('warn', error.code, { detail: error.message, kept: this.#kept.length });
      }
      await this.#deps.realClock.wait(backOffMs(failures++, jitter), signal);
    }
  }

  async #live(signal: AbortSignal, onAcknowledged: () => void): Promise<void> {
    const { topic, receiptTopic, resendMs } = this.#options;
    const onMessage = (_topic: string, payload: Uint8Array) => this.#receive(payload);
    const link = await this.#deps.openLink(signal, { onMessage });
    const closing = new AbortController();
    void link.closed.then(() => closing.abort());
    const stop = AbortSignal.any([signal, closing.signal]);
    try {
      await link.subscribe(receiptTopic);
      for (let next = 0; !stop.aborted;) {
        const due = this.#kept.find(({ sequence }) => sequence >= next);
        if (due !== undefined) {
          await link.publish(topic, due.bytes);
          next = due.sequence + 1;
          onAcknowledged();
          continue;
        }
        const before = this.#kept[0]?.sequence;
        await this.#news(stop, resendMs);
        // The same one is the oldest still, and nothing new has come: no receipt in all this time.
        const isStuck = before !== undefined && this.#kept[0]?.sequence === before && this.#sequence === next;
        if (isStuck) next = before;
      }
    } finally {
      closing.abort();
      link.close();
    }
  }

  /** Until a batch is sealed or forgotten, `ms` have passed, or `signal` is aborted. */
  async #news(signal: AbortSignal, ms: number): Promise<void> {
    const woken = new AbortController();
    this.#wake = () => woken.abort();
    await this.#deps.realClock.wait(ms, AbortSignal.any([signal, woken.signal]));
  }

  /** Anybody on the way could say "stored"; only the log's key can sign it. */
  #receive(payload: Uint8Array): void {
    const verdict = verifyReceipt(payload, this.#options.logPublicKey);
    if (!verdict.ok) {
      this.#deps.log('warn', 'receipt-refused', { why: verdict.reason });
      return;
    }
    const { device, sequence, digest, index } = verdict.value;
    const isOurs = (each: Kept) => each.sequence === sequence && bytesEqual(each.digest, digest);
    if (!bytesEqual(device, this.#device) || !this.#kept.some(isOurs)) return;
    this.#kept = this.#kept.filter((each) => !isOurs(each));
    this.#deps.log('info', 'forgotten', { sequence, index });
    this.#wake();
  }
}

/** In the channel's own unit; undefined for what the sensor says when it has not measured. */
function valueOf(reading: SenmlReading): number | undefined {
  if ('isSet' in reading) return reading.isSet ? 1 : 0;
  if ('value' in reading) return reading.value;
  return brokenCentiC.includes(reading.centiC) ? undefined : reading.centiC;
}
