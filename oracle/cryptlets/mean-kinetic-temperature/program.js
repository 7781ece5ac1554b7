/**
 * Mean kinetic temperature (USP <1079.2>): the one temperature that ages the goods as the real ones did.
 *
 *   T = (dH/R) / -ln( sum(t_i * exp(-(dH/R) / T_i)) / sum(t_i) )        kelvin
 *
 * activationK is dH/R: 10,000 K for dH = 83.144 kJ/mol. A sample stands for the time until the next one, at most
 * holdSecMax; what is left of a longer gap is missing, and neither guessed nor counted. The mean is a breach once the
 * window is full; a peak is one at once, whatever the mean is.
 */
function evaluate({ channels, parameters, fromSec, nowSec }) {
  const { limitMilliC, upperPeakCentiC, lowerPeakCentiC, activationK, holdSecMax, windowSecMin } = parameters;
  const samples = readings(channels[0]);
  if (samples.length === 0) return undefined;
  let missingSec = Math.max(0, samples[0][0] - fromSec - holdSecMax);
  let [weighted, coveredSec, highest, lowest] = [0, 0, -32768, 32767];
  samples.forEach(([timeSec, value], i) => {
    const isLast = i + 1 === samples.length;
    const gapSec = isLast ? holdSecMax : samples[i + 1][0] - timeSec;
    if (value === null) {
      missingSec += isLast ? 0 : gapSec;
      return;
    }
    const heldSec = Math.min(gapSec, holdSecMax);
    weighted += heldSec * exp(-activationK / (273.15 + value / 100));
    coveredSec += heldSec;
    missingSec += gapSec - heldSec;
    highest = Math.max(highest, value);
    lowest = Math.min(lowest, value);
  });
  if (coveredSec === 0) return undefined;
  const celsius = activationK / -ln(weighted / coveredSec) - 273.15;
  const milliC = Math.floor(celsius * 1000 + 0.5);
  const isFull = coveredSec + missingSec >= windowSecMin;
  const breach = highest > upperPeakCentiC || lowest < lowerPeakCentiC || (isFull && milliC > limitMilliC);
  return { report: [milliC, highest, missingSec, fromSec, nowSec], breach };
}

/** [timeSec, value] of a channel; null where the sensor or its clock was not to be trusted. */
function readings({ series }) {
  return series.flatMap(({ flags, marks, samples }) => {
    const isSound = flags < 0x100 && marks === 0;
    return samples.map(([timeSec, value]) => [timeSec, isSound ? value : null]);
  });
}
