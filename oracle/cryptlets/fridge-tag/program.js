/**
 * Refrigerator logger: over 8 C for ten hours at once, or -0.5 C and below for an hour at once. Pieces are not added up.
 * Alarms are bits: 1 warm, 2 freeze.
 */
function evaluate({ channels, parameters }) {
  const { warmCentiC, warmSecMin, freezeCentiC, freezeSecMin, gapSecMax } = parameters;
  const samples = readings(channels[0]);
  if (samples.length === 0) return undefined;
  const warm = exposure(samples, gapSecMax, warmSecMin, warmSecMin, (value) => value > warmCentiC);
  const freeze = exposure(samples, gapSecMax, freezeSecMin, freezeSecMin, (value) => value <= freezeCentiC);
  const alarms = (warm.runAtSec > 0 ? 1 : 0) + (freeze.runAtSec > 0 ? 2 : 0);
  return { report: [alarms, warm.runSec, freeze.runSec], breach: alarms > 0 };
}

/**
 * The longest run of outside samples and all runs together, seconds, each from first to last sample; and when each
 * reached its allowance, 0 for never. A gap of more than gapSecMax ends a run, as does what is not to be trusted.
 */
function exposure(samples, gapSecMax, runSecMin, totalSecMin, isOutside) {
  let [startedSec, lastSec, runSec, totalSec, runAtSec, totalAtSec] = [-1, 0, 0, 0, 0, 0];
  for (const [timeSec, value] of samples) {
    if (value === null || !isOutside(value)) {
      startedSec = -1;
      continue;
    }
    if (startedSec < 0 || timeSec - lastSec > gapSecMax) startedSec = timeSec;
    else totalSec += timeSec - lastSec;
    lastSec = timeSec;
    runSec = Math.max(runSec, timeSec - startedSec);
    if (runAtSec === 0 && timeSec - startedSec >= runSecMin) runAtSec = timeSec;
    if (totalAtSec === 0 && totalSec >= totalSecMin) totalAtSec = timeSec;
  }
  return { runSec, totalSec, runAtSec, totalAtSec };
}

/** [timeSec, value] of a channel; null where the sensor or its clock was not to be trusted. */
function readings({ series }) {
  return series.flatMap(({ flags, marks, samples }) => {
    const isSound = flags < 0x100 && marks === 0;
    return samples.map(([timeSec, value]) => [timeSec, isSound ? value : null]);
  });
}
