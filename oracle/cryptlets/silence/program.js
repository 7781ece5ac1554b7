/**
 * Times without a sample, of any channel that it reads, since the dispatch. They are known when the device speaks again: a
 * device that stays silent is for the Silence contract. Longer than silenceSecMax is "no data", which is neither a breach
 * nor all right; from breachSecMin on it is a breach.
 */
function evaluate({ channels, parameters, fromSec }) {
  const { silenceSecMax, breachSecMin } = parameters;
  const times = channels.flatMap(({ series }) => series.flatMap(({ samples }) => samples.map(([timeSec]) => timeSec)));
  times.sort((a, b) => a - b);
  let [heardSec, longestSec, longestFromSec, totalSec, gaps] = [fromSec, 0, 0, 0, 0];
  for (const timeSec of times) {
    const silentSec = timeSec - heardSec;
    if (silentSec > silenceSecMax) {
      if (silentSec > longestSec) [longestSec, longestFromSec] = [silentSec, heardSec];
      totalSec += silentSec;
      gaps += 1;
    }
    heardSec = Math.max(heardSec, timeSec);
  }
  if (gaps === 0) return undefined;
  return { report: [longestSec, longestFromSec, totalSec, Math.min(gaps, 65535)], breach: longestSec >= breachSecMin };
}
