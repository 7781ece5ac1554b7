/**
 * What the shipped cryptlets are to work out, stated once more and in another way: sample by sample and run by run,
 * or straight from the standard's formula. Math.exp and Math.log are those of this engine.
 */
import type { CryptletInput } from '@coldproof/oracle/cryptlet/input';
import type { CryptletResult } from '@coldproof/oracle/cryptlet/output';

type Reading = { readonly at: number; readonly value: number | undefined };
type Statement = (input: CryptletInput) => CryptletResult;

function channel(input: CryptletInput, i: number): Reading[] {
  const found: Reading[] = [];
  for (const series of input.channels[i]!.series) {
    const isSound = series.marks === 0 && (series.flags & 0xff00) === 0;
    for (const [at, value] of series.samples) found.push({ at, value: isSound && value !== null ? value : undefined });
  }
  return found;
}

/** Runs of neighbours that are all outside and not too far apart; each as [first, last]. */
function runsOf(readings: readonly Reading[], gapSecMax: number, isOutside: (value: number) => boolean) {
  const runs: [first: number, last: number][] = [];
  readings.forEach(({ at, value }, i) => {
    if (value === undefined || !isOutside(value)) return;
    const before = readings[i - 1];
    const isMore = before?.value !== undefined && isOutside(before.value) && at - before.at <= gapSecMax;
    if (isMore) runs.at(-1)![1] = at;
    else runs.push([at, at]);
  });
  return runs;
}

const sum = (numbers: readonly number[]): number => numbers.reduce((total, each) => total + each, 0);
const lengths = (runs: readonly [number, number][]): number[] => runs.map(([first, last]) => last - first);
const longestOf = (runs: readonly [number, number][]): number => Math.max(0, ...lengths(runs));

/** When one run, or all together, reached `secMin`: the first reading at which it holds of the readings so far. */
function reachedAt(
  readings: readonly Reading[],
  gapSecMax: number,
  isOutside: (value: number) => boolean,
  holds: (runs: readonly [number, number][]) => boolean,
): number {
  const i = readings.findIndex((_, i) => holds(runsOf(readings.slice(0, i + 1), gapSecMax, isOutside)));
  return i < 0 ? 0 : readings[i]!.at;
}

const meanKineticTemperature: Statement = (input) => {
  const readings = channel(input, 0);
  const { holdSecMax, activationK, windowSecMin, limitMilliC, upperPeakCentiC, lowerPeakCentiC } = input.parameters;
  const known = readings.flatMap(({ at, value }, i) => {
    const gapSec = (readings[i + 1]?.at ?? at + holdSecMax!) - at;
    return value === undefined ? [] : [{ value, sec: Math.min(gapSec, holdSecMax!) }];
  });
  if (known.length === 0) return undefined;
  const totalSec = sum(known.map(({ sec }) => sec));
  const rate = sum(known.map(({ value, sec }) => sec * Math.exp(-activationK! / (273.15 + value / 100)))) / totalSec;
  const milliC = Math.floor((activationK! / -Math.log(rate) - 273.15) * 1000 + 0.5);
  const [first, last] = [readings[0]!, readings.at(-1)!];
  // All of the time from the first sample on, but what samples stand for.
  const heldAtEndSec = last.value === undefined ? 0 : holdSecMax!;
  const leadSec = Math.max(0, first.at - input.fromSec - holdSecMax!);
  const missingSec = leadSec + last.at - first.at + heldAtEndSec - totalSec;
  const values = known.map(({ value }) => value);
  const [highest, lowest] = [Math.max(...values), Math.min(...values)];
  const isFull = totalSec + missingSec >= windowSecMin!;
  return {
    report: [milliC, highest, missingSec, input.fromSec, input.nowSec],
    breach: highest > upperPeakCentiC! || lowest < lowerPeakCentiC! || (isFull && milliC > limitMilliC!),
  };
};

const vaccineTwoTier: Statement = (input) => {
  const readings = channel(input, 0);
  if (readings.length === 0) return undefined;
  const { gapSecMax, ...limit } = input.parameters;
  const isHot = (value: number): boolean => value >= limit['hotCentiC']!;
  const isCold = (value: number): boolean => value <= limit['coldCentiC']!;
  const tiers = [
    { isOutside: isHot, measure: longestOf, secMin: limit['hotSecMin']! },
    {
      isOutside: isHot,
      measure: (runs: readonly [number, number][]) => sum(lengths(runs)),
      secMin: limit['hotTotalSecMin']!,
    },
    { isOutside: isCold, measure: longestOf, secMin: limit['coldSecMin']! },
    {
      isOutside: isCold,
      measure: (runs: readonly [number, number][]) => sum(lengths(runs)),
      secMin: limit['coldTotalSecMin']!,
    },
  ];
  const lasted = tiers.map(({ isOutside, measure }) => measure(runsOf(readings, gapSecMax!, isOutside)));
  const reached = tiers.map(({ isOutside, measure, secMin }) =>
    reachedAt(readings, gapSecMax!, isOutside, (runs) => measure(runs) >= secMin),
  );
  return { report: [...lasted, ...reached], breach: lasted.some((sec, i) => sec >= tiers[i]!.secMin) };
};

const whoShippingIndicator: Statement = (input) => {
  const readings = channel(input, 0);
  if (readings.length === 0) return undefined;
  const { gapSecMax, indicatorType } = input.parameters;
  const runs = (isOutside: (value: number) => boolean) => runsOf(readings, gapSecMax!, isOutside);
  const hour = 3_600;
  const hotSec = longestOf(runs((value) => value >= 4_500));
  const warmSec = sum(lengths(runs((value) => value >= 3_000)));
  const coolSec = sum(lengths(runs((value) => value >= 1_000)));
  const freezeSec = longestOf(runs((value) => value <= -50));
  let alarms = 0;
  if (hotSec >= hour) alarms |= 1;
  if (warmSec >= 10 * hour) alarms |= 2;
  if (coolSec >= 20 * hour && indicatorType === 2) alarms |= 4;
  if (freezeSec >= hour) alarms |= 8;
  return { report: [alarms, hotSec, warmSec, coolSec, freezeSec], breach: alarms !== 0 };
};

const fridgeTag: Statement = (input) => {
  const readings = channel(input, 0);
  if (readings.length === 0) return undefined;
  const { gapSecMax, warmCentiC, warmSecMin, freezeCentiC, freezeSecMin } = input.parameters;
  const warmSec = longestOf(runsOf(readings, gapSecMax!, (value) => value > warmCentiC!));
  const freezeSec = longestOf(runsOf(readings, gapSecMax!, (value) => value <= freezeCentiC!));
  const alarms = Number(warmSec >= warmSecMin!) | (Number(freezeSec >= freezeSecMin!) << 1);
  return { report: [alarms, warmSec, freezeSec], breach: alarms !== 0 };
};

const setpointGate: Statement = (input) => {
  const [airs, setpoints] = [channel(input, 0), channel(input, 1)];
  const { orderedCentiC, setpointCentiCMax, returnAirCentiCMax, readingsMin, pairSecMax } = input.parameters;
  const pairs = setpoints.map(({ at, value }) => {
    const air = airs.findLast((each) => each.at <= at);
    const isPair = value !== undefined && air?.value !== undefined && at - air.at <= pairSecMax!;
    return isPair ? { at, setpoint: value, air: air.value } : undefined;
  });
  const last = pairs.findLast((pair) => pair !== undefined);
  if (last === undefined) return undefined;
  const latest = pairs.slice(-readingsMin!);
  const isOff = (value: number, by: number): boolean => value > orderedCentiC! + by || value < orderedCentiC! - by;
  const hasEnough = latest.length === readingsMin && latest.every((pair) => pair !== undefined);
  const wrong = hasEnough && latest.every((pair) => isOff(pair.setpoint, setpointCentiCMax!));
  const ready =
    hasEnough &&
    latest.every((pair) => !isOff(pair.setpoint, setpointCentiCMax!) && !isOff(pair.air, returnAirCentiCMax!));
  return { report: [ready, wrong, last.setpoint, last.air, last.at], breach: wrong };
};

const frozenLoad: Statement = (input) => {
  const [air, modes, ...probes] = input.channels.map((_, i) => channel(input, i)) as [
    Reading[],
    Reading[],
    ...Reading[][],
  ];
  const limit = input.parameters;
  const times = [...new Set(probes.flat().map(({ at }) => at))].sort((a, b) => a - b);
  const load = times.map((at): Reading => {
    const values = probes.flatMap((readings) => {
      const latest = readings.findLast((each) => each.at <= at);
      return latest?.value !== undefined && at - latest.at <= limit['holdSecMax']! ? [latest.value] : [];
    });
    return { at, value: values.sort((a, b) => b - a)[limit['probesMin']! - 1] };
  });
  const known = load.flatMap(({ value }) => value ?? []);
  if (known.length === 0) return undefined;
  const over = (readings: readonly Reading[], centiC: number) =>
    runsOf(readings, limit['holdSecMax']!, (value) => value > centiC);
  const warningSec = longestOf(over(load, limit['warningCentiC']!));
  const excursionSec = longestOf(over(load, limit['excursionCentiC']!));
  const airRuns = over(air, limit['airCentiC']!);
  const airSec = longestOf(airRuns);
  // The first of the longest; of a single sample it is no run.
  const [first, last] = airSec === 0 ? [0, 0] : airRuns.find((run) => run[1] - run[0] === airSec)!;
  const inDefrost = modes.some(({ at, value }) => value === 3 && at >= first && at <= last);
  const levels = [
    excursionSec >= limit['excursionSecMin']!,
    warningSec >= limit['warningSecMin']!,
    airSec >= limit['airSecMin']!,
  ];
  const level = levels.includes(true) ? 3 - levels.indexOf(true) : 0;
  return { report: [level, Math.max(...known), warningSec, excursionSec, airSec, inDefrost], breach: level === 3 };
};

const silence: Statement = (input) => {
  const { silenceSecMax, breachSecMin } = input.parameters;
  const heard = [input.fromSec, ...input.channels.flatMap((_, i) => channel(input, i).map(({ at }) => at))];
  heard.sort((a, b) => a - b);
  const gaps = heard.flatMap((at, i) =>
    i > 0 && at - heard[i - 1]! > silenceSecMax! ? [[heard[i - 1]!, at] as const] : [],
  );
  const longest = gaps.reduce<readonly [number, number]>((a, b) => (b[1] - b[0] > a[1] - a[0] ? b : a), [0, 0]);
  if (gaps.length === 0) return undefined;
  const longestSec = longest[1] - longest[0];
  return {
    report: [longestSec, longest[0], sum(gaps.map(([a, b]) => b - a)), gaps.length],
    breach: longestSec >= breachSecMin!,
  };
};

export const statements: Readonly<Record<string, Statement>> = {
  'mean-kinetic-temperature': meanKineticTemperature,
  'vaccine-two-tier': vaccineTwoTier,
  'who-shipping-indicator': whoShippingIndicator,
  'fridge-tag': fridgeTag,
  'setpoint-gate': setpointGate,
  'frozen-load': frozenLoad,
  silence,
};
