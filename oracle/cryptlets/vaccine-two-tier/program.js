/**
 * Vaccine, two-tier: too hot and too cold, each for too long at once or for too long together. All four are reported side
 * by side, so that none hides another. A sample at a limit is outside.
 */
function evaluate({ channels, parameters }) {
  const { hotCentiC, hotSecMin, hotTotalSecMin, coldCentiC, coldSecMin, coldTotalSecMin, gapSecMax } = parameters;
  const samples = readings(channels[0]);
  if (samples.length === 0) return undefined;
  const hot = exposure(samples, gapSecMax, hotSecMin, hotTotalSecMin, (value) => value >= hotCentiC);
  const cold = exposure(samples, gapSecMax, coldSecMin, coldTotalSecMin, (value) => value <= coldCentiC);
  const lasted = [hot.runSec, hot.totalSec, cold.runSec, cold.totalSec];
  const reachedAt = [hot.runAtSec, hot.totalAtSec, cold.runAtSec, cold.totalAtSec];
  return { report: [...lasted, ...reachedAt], breach: reachedAt.some((atSec) => atSec > 0) };
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
