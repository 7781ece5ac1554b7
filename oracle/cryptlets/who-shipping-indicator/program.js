/**
 * Shipping indicator (WHO PQS E006/TR07): 45 C for an hour at once; 30 C for ten hours together; -0.5 C for an hour at
 * once; and for type 2, 10 C for twenty hours together. A sample at a limit counts. Alarms are bits, in this order: 1, 2,
 * 8 and, for type 2, 4.
 */
function evaluate({ channels, parameters }) {
  const { indicatorType, gapSecMax } = parameters;
  const samples = readings(channels[0]);
  if (samples.length === 0) return undefined;
  const hot = exposure(samples, gapSecMax, 3600, 3600, (value) => value >= 4500);
  const warm = exposure(samples, gapSecMax, 36000, 36000, (value) => value >= 3000);
  const cool = exposure(samples, gapSecMax, 72000, 72000, (value) => value >= 1000);
  const freeze = exposure(samples, gapSecMax, 3600, 3600, (value) => value <= -50);
  const raised = [
    hot.runAtSec > 0,
    warm.totalAtSec > 0,
    indicatorType === 2 && cool.totalAtSec > 0,
    freeze.runAtSec > 0,
  ];
  const alarms = raised.reduce((bits, isRaised, i) => bits + (isRaised ? 1 << i : 0), 0);
  return { report: [alarms, hot.runSec, warm.totalSec, cool.totalSec, freeze.runSec], breach: alarms > 0 };
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
