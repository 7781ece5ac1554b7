/** What `new` writes: a small cryptlet that is whole, to be changed into another. */

export function templateFiles(name: string): Readonly<Record<string, string>> {
  const manifest = {
    name,
    version: 1,
    interface: 'WarmTime(uint32 warmSec,int16 peakCentiC)',
    channels: ['cargo-probe-1'],
    trigger: 'batch',
    windowSec: 0,
    parameters: {
      limitCentiC: { min: -8_000, max: 6_000, value: 800 },
      warmSecMin: { min: 1, max: 2_592_000, value: 1_800 },
    },
  };
  const examples = [
    {
      name: 'ten minutes over 8 degrees',
      channels: {
        'cargo-probe-1': [
          [0, 500],
          [600, 810],
          [1200, 820],
          [1800, 500],
        ],
      },
      result: { report: [600, 820], breach: false },
    },
    { name: 'nothing to report without a sample', channels: { 'cargo-probe-1': [] }, result: null },
  ];
  return {
    'manifest.json': `${JSON.stringify(manifest, null, 2)}\n`,
    'program.js': program,
    'examples.json': `${JSON.stringify(examples, null, 2)}\n`,
  };
}

const program = `/** Time over the limit, all together, between samples that were both over it. */
function evaluate({ channels, parameters }) {
  const { limitCentiC, warmSecMin } = parameters;
  const samples = readings(channels[0]);
  if (samples.length === 0) return undefined;
  let [warmSec, peakCentiC] = [0, -32768];
  samples.forEach(([timeSec, value], i) => {
    peakCentiC = Math.max(peakCentiC, value);
    if (i > 0 && value > limitCentiC && samples[i - 1][1] > limitCentiC) warmSec += timeSec - samples[i - 1][0];
  });
  return { report: [warmSec, peakCentiC], breach: warmSec >= warmSecMin };
}

/** [timeSec, value] of a channel, where the sensor and its clock were to be trusted. */
function readings({ series }) {
  return series
    .filter(({ flags, marks }) => flags < 0x100 && marks === 0)
    .flatMap(({ samples }) => samples.filter(([, value]) => value !== null));
}
`;
