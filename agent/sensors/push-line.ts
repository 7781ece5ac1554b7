/**
 * A serial line whose sensor speaks by itself: text or NMEA 0183.
 *
 *   port -- bytes --> LineSplitter --> checksum --> JSON, pattern or NMEA --> one sample a period --> deliver
 *     ^                                                                                                  |
 *     '--paused until the samples are journaled ---------------------------------------------------------'
 *
 * The line may go away at any time, as a USB plug does; it is opened again until it is back.
 */
import { channels } from '@coldproof/wire';
import { monotonicClock } from '../clock.ts';
import type { PushLineConfig } from '../config-line.ts';
import type { TextSource } from '../config-source.ts';
import type { DeviceConfig } from '../config.ts';
import type { RawSample } from '../sample.ts';
import { asError, OperatingError } from '../operating-error.ts';
import { NmeaReader } from './nmea.ts';
import type { SensorDeps, SensorSample, SensorSource } from './sensor.ts';
import { closePort, lineError, makePort, openPort, reopenMs, type RawPort } from './serial-port.ts';
import { LineSplitter, openTextLine } from './text-line.ts';
import { mapJson, mapLine, parseJson } from './value-mapping.ts';

type PushSensor = {
  readonly device: string;
  readonly channel: number;
  /** Undefined on an NMEA line. */
  readonly mapping: TextSource['mapping'] | undefined;
};

type Measured = Omit<RawSample, 'unit'>;

export function startPushLine(
  line: PushLineConfig,
  devices: readonly DeviceConfig[],
  deps: SensorDeps,
  open: (line: PushLineConfig) => RawPort = makePort,
): SensorSource {
  const stopping = new AbortController();
  const running = new PushLine(line, devices, deps, open).run(stopping.signal);
  return {
    async stop() {
      stopping.abort();
      await running;
    },
  };
}

class PushLine {
  readonly #line: PushLineConfig;
  readonly #deps: SensorDeps;
  readonly #open: (line: PushLineConfig) => RawPort;
  readonly #decoder: PushDecoder;
  #isUp: boolean | undefined;
  #failures = 0;

  constructor(
    line: PushLineConfig,
    devices: readonly DeviceConfig[],
    deps: SensorDeps,
    open: (line: PushLineConfig) => RawPort,
  ) {
    this.#line = line;
    this.#deps = deps;
    this.#open = open;
    this.#decoder = new PushDecoder(line, devices, deps);
  }

  async run(signal: AbortSignal): Promise<void> {
    while (!signal.aborted) {
      try {
        await this.#listen(signal);
        return;
      } catch (error) {
        // Anything else is the loop's: the journal failed, or the agent stops.
        if (!(error instanceof OperatingError)) throw error;
        if (error.code !== 'line-failed') return;
        this.#tell(false, error.message);
        await monotonicClock.wait(reopenMs(this.#failures), signal);
        this.#failures += 1;
      }
    }
  }

  /** Returns at a stop; throws `line-failed` when the line goes, and what `deliver` threw. */
  async #listen(signal: AbortSignal): Promise<void> {
    const port = this.#open(this.#line);
    await openPort(port, this.#line);
    this.#decoder.begin();
    try {
      await new Promise<void>((resolve, reject) => {
        const stop = () => resolve();
        signal.addEventListener('abort', stop, { once: true });
        if (signal.aborted) stop();
        port.on('error', (error) => reject(lineError(this.#line, error)));
        port.on('close', () => {
          signal.removeEventListener('abort', stop);
          reject(lineError(this.#line, 'closed'));
        });
        port.on('data', (chunk) => {
          port.pause();
          this.#take(chunk).then(
            () => port.resume(),
            // A line can't be told to keep anything: what the journal had no room for is counted, and lost.
            (error: unknown) => (isFull(error) ? port.resume() : reject(asError(error))),
          );
        });
      });
    } finally {
      await closePort(port);
    }
  }

  async #take(chunk: Uint8Array): Promise<void> {
    this.#tell(true, `after ${this.#failures} failures`);
    this.#failures = 0;
    const samples = this.#decoder.push(chunk, this.#deps.clock.nowMs() / 1_000);
    if (samples.length > 0) await this.#deps.deliver(samples);
  }

  /** One line for each change. Up is a line that speaks, not one that can be opened. */
  #tell(isUp: boolean, why: string): void {
    if (this.#isUp === isUp) return;
    this.#isUp = isUp;
    this.#deps.log(isUp ? 'info' : 'warn', isUp ? 'line-up' : 'line-down', { line: this.#line.name, why });
  }
}

function isFull(error: unknown): boolean {
  return error instanceof OperatingError && error.code === 'journal-full';
}

/** Pure but for the refusals that it counts: the chunks of one line in, samples out. */
export class PushDecoder {
  readonly #line: PushLineConfig;
  readonly #sensors: readonly PushSensor[];
  readonly #refuse: SensorDeps['refuse'];
  readonly #noteTime: SensorDeps['noteTime'];
  /** The period that a channel has a value of, and the last one that it has a fault of. */
  readonly #taken = new Map<PushSensor, { value: number; fault: number }>();
  #splitter: LineSplitter;
  #nmea = new NmeaReader();

  constructor(
    line: PushLineConfig,
    devices: readonly DeviceConfig[],
    { refuse, noteTime }: Pick<SensorDeps, 'refuse' | 'noteTime'>,
  ) {
    this.#line = line;
    this.#refuse = refuse;
    this.#noteTime = noteTime;
    this.#splitter = new LineSplitter(line.checksum !== 'none');
    this.#sensors = devices.flatMap(({ name: device, sensors }) =>
      sensors.flatMap(({ channel, source }): PushSensor[] => {
        if ((source.kind !== 'text' && source.kind !== 'nmea') || source.line !== line.name) return [];
        return [{ device, channel, mapping: source.kind === 'text' ? source.mapping : undefined }];
      }),
    );
  }

  /** The line has been opened: what was held of the time before belongs to nothing. */
  begin(): void {
    this.#splitter = new LineSplitter(this.#line.checksum !== 'none');
    this.#nmea = new NmeaReader();
  }

  push(chunk: Uint8Array, nowSec: number): SensorSample[] {
    const samples: SensorSample[] = [];
    for (const bytes of this.#splitter.push(chunk)) {
      if (bytes === undefined) {
        this.#refuse('line-too-long', `${this.#line.name}: no end of line in sight`);
        continue;
      }
      const opened = openTextLine(bytes, this.#line.checksum);
      if (!opened.ok) this.#refuse(opened.reason, `${this.#line.name}: ${opened.detail}`);
      else if (this.#line.protocol === 'nmea') this.#takeSentence(opened.value, nowSec, samples);
      else this.#takeText(opened.value, nowSec, samples);
    }
    return samples;
  }

  #takeSentence(body: string, nowSec: number, samples: SensorSample[]): void {
    const read = this.#nmea.read(body, nowSec);
    if (!read.ok) {
      this.#refuse(read.reason, `${this.#line.name}: ${read.detail}`);
      return;
    }
    if (read.value === undefined) return;
    const { timeSec, place } = read.value;
    if (place !== undefined) this.#noteTime?.(this.#line.name, timeSec);
    for (const sensor of this.#sensors) {
      const value = sensor.channel === channels.latitude ? place?.latitude : place?.longitude;
      this.#add(sensor, { timeSec, value }, samples);
    }
  }

  #takeText(text: string, nowSec: number, samples: SensorSample[]): void {
    let parsed: ReturnType<typeof parseJson> | undefined;
    let isMatched = false;
    for (const sensor of this.#sensors) {
      const { mapping } = sensor;
      if (mapping === undefined) continue;
      let mapped: ReturnType<typeof mapLine>;
      if ('pattern' in mapping) mapped = mapLine(text, mapping, nowSec);
      else {
        parsed ??= parseJson(Buffer.from(text));
        if (!parsed.ok) continue;
        mapped = mapJson(parsed.value, mapping, nowSec);
      }
      isMatched ||= !mapped.ok || mapped.value !== undefined;
      if (!mapped.ok) this.#refuse(mapped.reason, `${this.#line.name}: ${mapped.detail}`);
      else if (mapped.value !== undefined) this.#add(sensor, mapped.value, samples);
    }
    if (!isMatched) this.#refuse('line-unmatched', `${this.#line.name}: no sensor is in ${text.slice(0, 80)}`);
  }

  /** Of each period one value is taken, and before it at most one fault: a receiver without a fix repeats that. */
  #add(sensor: PushSensor, measured: Measured, samples: SensorSample[]): void {
    const { device, channel } = sensor;
    const period = Math.floor(measured.timeSec / this.#line.sampleSec);
    const taken = this.#taken.get(sensor) ?? { value: -1, fault: -1 };
    if (taken.value === period || (measured.value === undefined && taken.fault === period)) return;
    this.#taken.set(sensor, measured.value === undefined ? { ...taken, fault: period } : { ...taken, value: period });
    samples.push({ device, channel, raw: { ...measured, unit: undefined } });
  }
}
