/** A sensor that gives no value, or a value that its agent marked. A fault never cancels a shipment; it is shown. */
import { faultValue } from './channel.ts';
import type { Finding, JudgedBatch, OrderUnderWatch } from './evaluate.ts';
import { marks, type Series } from './series.ts';

type OpenFault = { readonly openedAtSec: number; readonly cause: string };

/** The open fault of each channel, by channel number. */
export type SensorFaultState = Readonly<Record<string, OpenFault>>;

export function walkSensorFault(
  { judgedFromSec }: OrderUnderWatch,
  state: SensorFaultState,
  { series }: JudgedBatch,
): { readonly state: SensorFaultState; readonly findings: readonly Finding[] } {
  const findings: Finding[] = [];
  const open = new Map(Object.entries(state));
  for (const each of series) {
    const key = String(each.channel);
    const fault = walkSeries(each, open.get(key), judgedFromSec, findings);
    if (fault === undefined) open.delete(key);
    else open.set(key, fault);
  }
  return { state: Object.fromEntries(open), findings };
}

function walkSeries(
  { channel, marks: marked, samples }: Series,
  before: OpenFault | undefined,
  judgedFromSec: number,
  findings: Finding[],
): OpenFault | undefined {
  // A mark is on the whole series; where single samples are at fault too, those date it.
  const isMarkedAsWhole = marked !== 0 && !samples.some(({ value }) => value === faultValue(channel));
  let open = before;
  for (const { timeSec, value } of samples) {
    if (timeSec < judgedFromSec) continue;
    const isFault = isMarkedAsWhole || value === faultValue(channel);
    if (isFault && open === undefined) {
      open = { openedAtSec: timeSec, cause: isMarkedAsWhole ? nameMarks(marked) : 'no value' };
      findings.push(findingOf(channel, open));
    }
    if (!isFault && marked === 0 && open !== undefined) {
      findings.push({ ...findingOf(channel, open), closedAtSec: timeSec });
      open = undefined;
    }
  }
  return open;
}

function findingOf(channel: number, { openedAtSec, cause }: OpenFault): Finding {
  return { rule: 'sensor-fault', channel, openedAtSec, detail: { cause } };
}

/** "stuck, out of range" */
function nameMarks(marked: number): string {
  const names = {
    [marks.stuck]: 'stuck',
    [marks.spike]: 'spike',
    [marks.outOfRange]: 'out of range',
    [marks.invalidValue]: 'invalid value',
  };
  const set = Object.entries(names).filter(([bit]) => (marked & Number(bit)) !== 0);
  return set.length === 0 ? `marks 0x${marked.toString(16)}` : set.map(([, name]) => name).join(', ');
}
