/**
 * A frozen load under several probes. At each time the load is as warm as the probesMin-th warmest probe: so many probes
 * say at least this, and one that has gone wrong cannot say it alone. With fewer probes alive nothing is known.
 *
 * Levels: 3 excursion, 2 warning, both of the load; 1 note, when only the air was warm, as it is while the unit defrosts
 * (unit mode 3); 0 none. Above a limit is outside.
 */
function evaluate({ channels, parameters }) {
  const { probesMin, warningCentiC, warningSecMin, excursionCentiC, excursionSecMin, holdSecMax } = parameters;
  const { airCentiC, airSecMin } = parameters;
  const [air, modes, ...probes] = channels.map(readings);
  const load = fuse(probes, probesMin, holdSecMax);
  const known = load.filter(([, value]) => value !== null);
  if (known.length === 0) return undefined;
  const peakCentiC = known.reduce((most, [, value]) => Math.max(most, value), -32768);
  const warning = longest(load, holdSecMax, (value) => value > warningCentiC);
  const excursion = longest(load, holdSecMax, (value) => value > excursionCentiC);
  const airWarm = longest(air, holdSecMax, (value) => value > airCentiC);
  const inDefrost = modes.some(
    ([timeSec, mode]) => mode === 3 && timeSec >= airWarm.fromSec && timeSec <= airWarm.toSec,
  );
  let level = airWarm.sec >= airSecMin ? 1 : 0;
  if (warning.sec >= warningSecMin) level = 2;
  if (excursion.sec >= excursionSecMin) level = 3;
  return { report: [level, peakCentiC, warning.sec, excursion.sec, airWarm.sec, inDefrost], breach: level === 3 };
}

/** The probesMin-th warmest value at each time at which a probe was read. A value holds for holdSecMax. */
function fuse(probes, probesMin, holdSecMax) {
  const times = [...new Set(probes.flatMap((samples) => samples.map(([timeSec]) => timeSec)))].sort((a, b) => a - b);
  const at = probes.map(() => -1);
  return times.map((timeSec) => {
    const values = [];
    probes.forEach((samples, i) => {
      while (at[i] + 1 < samples.length && samples[at[i] + 1][0] <= timeSec) at[i] += 1;
      const [readSec, value] = at[i] < 0 ? [0, null] : samples[at[i]];
      if (value !== null && timeSec - readSec <= holdSecMax) values.push(value);
    });
    values.sort((a, b) => b - a);
    return [timeSec, values[probesMin - 1] ?? null];
  });
}

/** The longest run of outside samples, from first to last. */
function longest(samples, gapSecMax, isOutside) {
  let [startedSec, lastSec, best] = [-1, 0, { sec: 0, fromSec: 0, toSec: 0 }];
  for (const [timeSec, value] of samples) {
    if (value === null || !isOutside(value)) {
      startedSec = -1;
      continue;
    }
    if (startedSec < 0 || timeSec - lastSec > gapSecMax) startedSec = timeSec;
    lastSec = timeSec;
    if (timeSec - startedSec > best.sec) best = { sec: timeSec - startedSec, fromSec: startedSec, toSec: timeSec };
  }
  return best;
}

/** [timeSec, value] of a channel; null where the sensor or its clock was not to be trusted. */
function readings({ series }) {
  return series.flatMap(({ flags, marks, samples }) => {
    const isSound = flags < 0x100 && marks === 0;
    return samples.map(([timeSec, value]) => [timeSec, isSound ? value : null]);
  });
}
