/**
 * The host's side of Sparkplug B (Sparkplug 3.0, Eclipse Foundation) for the edge nodes in the truck: one state machine
 * per edge node, pure. What a requirement is met by stands beside its tck-id.
 *
 *              NBIRTH                       seq is the next, metric was born
 *   unknown ----------> online(bdSeq, seq) ---------------------------------> samples
 *      ^ \                |   ^    |
 *      |  '-- anything ---|---|----+--- seq is not the next, or unborn -----> rebirth request (NCMD), nothing taken
 *      |      else        |   '---------- NBIRTH (answers the request)
 *      '------------------' NDEATH with the same bdSeq
 *
 * One broker, one TCP connection: messages cannot overtake each other, so the reorder timeout is zero (§5.11). After a
 * lost message an alias may mean something else, so nothing is taken until the births have come again; they repeat the
 * present value of every metric. A death makes no sample: that a sensor is away is a gap, not a measurement.
 */
import type { SparkplugSource } from '../config-source.ts';
import type { DeviceConfig } from '../config.ts';
import type { RawSample } from '../sample.ts';
import { decodeSparkplug, type Metric, type RawValue, type SparkplugPayload } from './sparkplug-payload.ts';
import type { SensorSample } from './sensor.ts';
import { readValue } from './value-mapping.ts';

export type SparkplugReason =
  /** No Sparkplug B payload, or one without what its kind must have. */
  | 'sparkplug-malformed'
  /** A sequence number that is not one more than the last: a message was lost. */
  | 'sparkplug-out-of-sequence'
  /** From an edge node or device that has not been born, or about a metric that was not in its birth. */
  | 'sparkplug-unborn'
  /** A death certificate of a session that is over (tck-id-payloads-ndeath-bdseq). */
  | 'sparkplug-death-stale'
  /** A metric whose value is not of the type that its birth said. */
  | 'sparkplug-value-malformed';

const kinds = ['NBIRTH', 'NDATA', 'NDEATH', 'DBIRTH', 'DDATA', 'DDEATH'] as const;
type Kind = (typeof kinds)[number];

export type SparkplugTopic = { readonly group: string; readonly kind: Kind; readonly node: string; device?: string };

const namespace = 'spBv1.0';
/** A request that was not answered is made again after so long; a node that cannot hear is not shouted at. */
const rebirthSecMin = 10;

/** tck-id-topic-structure; undefined for what is no message of an edge node. */
export function parseSparkplugTopic(topic: string): SparkplugTopic | undefined {
  const [space, group, kind, node, device, ...rest] = topic.split('/');
  const known = kinds.find((each) => each === kind);
  if (space !== namespace || !group || known === undefined || !node || rest.length > 0) return undefined;
  // tck-id-topic-structure-namespace-device-id-associated-message-types, -non-associated-message-types
  if (known.startsWith('D') !== (device !== undefined && device !== '')) return undefined;
  return device === undefined ? { group, kind: known, node } : { group, kind: known, node, device };
}

/** Topics by which commands reach an edge node: nobody but this host may publish there. */
export function isSparkplugCommand(topic: string): boolean {
  return new RegExp(`^${namespace}/(STATE(/|$)|[^/]*/[ND]CMD(/|$))`).test(topic);
}

export function commandTopic({ group, node }: Pick<SparkplugTopic, 'group' | 'node'>, kind = 'NCMD'): string {
  return `${namespace}/${group}/${kind}/${node}`;
}

export function dataTopic({ group, node, device }: SparkplugSource): string {
  const topic = `${namespace}/${group}/${device === undefined ? 'NDATA' : 'DDATA'}/${node}`;
  return device === undefined ? topic : `${topic}/${device}`;
}

/** tck-id-host-topic-phid-birth-topic */
export function stateTopic(hostId: string): string {
  return `${namespace}/STATE/${hostId}`;
}

type Destination = { readonly device: string; readonly channel: number; readonly source: SparkplugSource };

/** What was born: the node itself under '', its devices under their names. */
type Born = { readonly device: string; readonly name: string; readonly datatype: number };

type Session = {
  readonly bdSeq: number;
  seq: number;
  readonly aliases: Map<number, Born>;
  /** By device, then by name. */
  readonly metrics: Map<string, Map<string, Born>>;
};

type Outcome = {
  readonly samples: readonly SensorSample[];
  /** The edge node is to be asked to be born again. */
  readonly isRebirthWanted: boolean;
};

const nothing: Outcome = { samples: [], isRebirthWanted: false };

export class SparkplugNode {
  readonly #destinations: readonly Destination[];
  readonly #refuse: (reason: SparkplugReason, detail: string) => void;
  /** Undefined while the node is offline, or nobody knows. */
  #session: Session | undefined;
  #askedSec = Number.NEGATIVE_INFINITY;

  constructor(
    { group, node }: Pick<SparkplugSource, 'group' | 'node'>,
    devices: readonly DeviceConfig[],
    refuse: (reason: SparkplugReason, detail: string) => void,
  ) {
    this.#refuse = (reason, detail) => refuse(reason, `${group}/${node}: ${detail}`);
    this.#destinations = devices.flatMap(({ name: device, sensors }) =>
      sensors.flatMap(({ channel, source }): Destination[] =>
        source.kind === 'sparkplug' && source.group === group && source.node === node
          ? [{ device, channel, source }]
          : [],
      ),
    );
  }

  get isOnline(): boolean {
    return this.#session !== undefined;
  }

  take({ kind, device = '' }: SparkplugTopic, bytes: Uint8Array, nowSec: number): Outcome {
    const decoded = decodeSparkplug(bytes);
    if (!decoded.ok) {
      this.#refuse(decoded.reason, `${kind}: ${decoded.detail}`);
      return nothing;
    }
    const payload = decoded.value;
    if (kind === 'NBIRTH') return this.#bear(payload);
    if (kind === 'NDEATH') return this.#die(payload);
    const session = this.#session;
    if (session === undefined) return this.#wantRebirth('sparkplug-unborn', `${kind} before NBIRTH`, nowSec);
    // tck-id-payloads-sequence-num-incrementing
    const expected = (session.seq + 1) % 256;
    if (payload.seq !== expected) {
      this.#session = undefined;
      const detail = `${kind}: expected seq ${expected}, got ${String(payload.seq)}`;
      return this.#wantRebirth('sparkplug-out-of-sequence', detail, nowSec);
    }
    session.seq = expected;
    switch (kind) {
      case 'DBIRTH':
        return this.#addMetrics(session, device, payload);
      case 'DDEATH':
        this.#forget(session, device);
        return nothing;
      case 'NDATA':
      case 'DDATA':
        return this.#takeData(session, device, payload, nowSec);
    }
  }

  #bear(payload: SparkplugPayload): Outcome {
    const bdSeq = bdSeqOf(payload);
    const { seq } = payload;
    // tck-id-payloads-nbirth-seq, tck-id-payloads-nbirth-bdseq
    if (seq === undefined || !(seq >= 0 && seq <= 255) || bdSeq === undefined) {
      this.#refuse(
        'sparkplug-malformed',
        `NBIRTH: expected seq 0 to 255 and bdSeq, got ${String(seq)}, ${String(bdSeq)}`,
      );
      return nothing;
    }
    // All that was before is void, the devices too: each has to send its DBIRTH again.
    this.#session = { bdSeq, seq, aliases: new Map(), metrics: new Map() };
    this.#askedSec = Number.NEGATIVE_INFINITY;
    return this.#addMetrics(this.#session, '', payload);
  }

  /** tck-id-operational-behavior-edge-node-termination-host-action-ndeath-node-offline, -devices-offline */
  #die(payload: SparkplugPayload): Outcome {
    const bdSeq = bdSeqOf(payload);
    if (bdSeq === undefined || bdSeq === this.#session?.bdSeq) this.#session = undefined;
    // A will of a connection that has been replaced arrives after the new NBIRTH.
    else this.#refuse('sparkplug-death-stale', `NDEATH: expected bdSeq ${String(this.#session?.bdSeq)}, got ${bdSeq}`);
    return nothing;
  }

  #addMetrics(session: Session, device: string, payload: SparkplugPayload): Outcome {
    this.#forget(session, device);
    const metrics = new Map<string, Born>();
    session.metrics.set(device, metrics);
    for (const { name, alias, datatype } of payload.metrics) {
      // tck-id-payloads-alias-birth-requirement, tck-id-payloads-metric-datatype-req, tck-id-payloads-alias-uniqueness
      if (name === undefined || datatype === undefined || (alias !== undefined && session.aliases.has(alias))) {
        this.#forget(session, device);
        const got = `${name ?? 'none'}, ${String(datatype)}, ${String(alias)}`;
        this.#refuse('sparkplug-malformed', `birth: expected name, datatype and an alias of its own, got ${got}`);
        return nothing;
      }
      const born = { device, name, datatype };
      metrics.set(name, born);
      if (alias !== undefined) session.aliases.set(alias, born);
    }
    return { samples: this.#samplesOf(session, device, payload).samples, isRebirthWanted: false };
  }

  #forget(session: Session, device: string): void {
    for (const [alias, born] of session.aliases) if (born.device === device) session.aliases.delete(alias);
    session.metrics.delete(device);
  }

  #takeData(session: Session, device: string, payload: SparkplugPayload, nowSec: number): Outcome {
    if (!session.metrics.has(device)) return this.#wantRebirth('sparkplug-unborn', `data of ${device}`, nowSec);
    const { samples, unborn } = this.#samplesOf(session, device, payload);
    if (unborn === undefined) return { samples, isRebirthWanted: false };
    return { samples, isRebirthWanted: this.#wantRebirth('sparkplug-unborn', unborn, nowSec).isRebirthWanted };
  }

  #samplesOf(session: Session, device: string, payload: SparkplugPayload) {
    const samples: SensorSample[] = [];
    let unborn: string | undefined;
    for (const metric of payload.metrics) {
      const born = bornOf(session, device, metric);
      if (born === undefined) {
        unborn = `metric ${metric.name?.slice(0, 80) ?? `with alias ${String(metric.alias)}`}`;
        continue;
      }
      for (const destination of this.#destinations) {
        const { source } = destination;
        if ((source.device ?? '') !== device || source.metric !== born.name) continue;
        const raw = this.#read(born, metric, payload, source);
        if (raw !== undefined) samples.push({ device: destination.device, channel: destination.channel, raw });
      }
    }
    // Values that were stored while the link was down (is_historical) come with their own times, before those of now.
    samples.sort((a, b) => a.raw.timeSec - b.raw.timeSec);
    return { samples, unborn };
  }

  #read(born: Born, metric: Metric, payload: SparkplugPayload, source: SparkplugSource): RawSample | undefined {
    // tck-id-payloads-name-birth-data-requirement; the payload's own is when the message was made,
    // which is no time for a value that was stored.
    const timestampMs = metric.timestampMs ?? (metric.isHistorical ? undefined : payload.timestampMs);
    if (timestampMs === undefined || metric.value === undefined) {
      this.#refuse('sparkplug-value-malformed', `${born.name}: expected a timestamp and a value of a basic type`);
      return undefined;
    }
    // What is stale was measured before, and taken then.
    if (metric.quality === staleQuality) return undefined;
    const timeSec = timestampMs / 1_000;
    if (metric.value === null || metric.quality === badQuality) return { timeSec, value: undefined, unit: undefined };
    const typed = typedValue(metric.value, born.datatype);
    if (typed !== undefined) return { timeSec, value: readValue(typed, source), unit: undefined };
    this.#refuse('sparkplug-value-malformed', `${born.name}: expected datatype ${born.datatype}`);
    return undefined;
  }

  #wantRebirth(reason: SparkplugReason, detail: string, nowSec: number): Outcome {
    this.#refuse(reason, detail);
    // A clock that was set back must not silence the request.
    const isDue = nowSec >= this.#askedSec + rebirthSecMin || nowSec < this.#askedSec;
    if (isDue) this.#askedSec = nowSec;
    return { samples: [], isRebirthWanted: isDue };
  }
}

const badQuality = 0;
const staleQuality = 500;

function bornOf(session: Session, device: string, { name, alias }: Metric): Born | undefined {
  if (name !== undefined) return session.metrics.get(device)?.get(name);
  const born = alias === undefined ? undefined : session.aliases.get(alias);
  return born?.device === device ? born : undefined;
}

/** tck-id-topics-nbirth-bdseq-included, tck-id-payloads-ndeath-bdseq: 0 to 255. */
function bdSeqOf({ metrics }: SparkplugPayload): number | undefined {
  const value = metrics.find(({ name }) => name === 'bdSeq')?.value;
  const number = value?.kind === 'integer' ? value.unsigned : -1;
  return number >= 0 && number <= 255 ? number : undefined;
}

/** §6.4.16: signed integers are two's complement in an unsigned field. Undefined when value and datatype differ. */
function typedValue(value: RawValue, datatype: number): number | boolean | string | undefined {
  switch (value.kind) {
    case 'integer':
      if (datatype === 1) return (value.signed << 24) >> 24;
      if (datatype === 2) return (value.signed << 16) >> 16;
      if (datatype === 3 || datatype === 4) return value.signed;
      return datatype >= 5 && datatype <= 8 ? value.unsigned : undefined;
    case 'float':
      return datatype === 9 || datatype === 10 ? value.number : undefined;
    case 'boolean':
      return datatype === 11 ? value.boolean : undefined;
    case 'text':
      return datatype === 12 || datatype === 14 ? value.text : undefined;
  }
}
