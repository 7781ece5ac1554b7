/**
 * Is the truck ready to be loaded? It is when the last readingsMin readings in a row have the set point that was ordered,
 * within setpointCentiCMax, and return air within returnAirCentiCMax of it. As many in a row with another set point are a
 * breach: somebody has set it wrong. A reading of the set point goes with the return air just before it.
 */
function evaluate({ channels, parameters }) {
  const { orderedCentiC, setpointCentiCMax, returnAirCentiCMax, readingsMin, pairSecMax } = parameters;
  const [returnAir, setpoints] = channels.map(readings);
  let [right, wrong, at, last] = [0, 0, -1, undefined];
  for (const [timeSec, setpoint] of setpoints) {
    while (at + 1 < returnAir.length && returnAir[at + 1][0] <= timeSec) at += 1;
    const air = at >= 0 && timeSec - returnAir[at][0] <= pairSecMax ? returnAir[at][1] : null;
    if (setpoint === null || air === null) {
      [right, wrong] = [0, 0];
      continue;
    }
    const isSet = Math.abs(setpoint - orderedCentiC) <= setpointCentiCMax;
    right = isSet && Math.abs(air - orderedCentiC) <= returnAirCentiCMax ? right + 1 : 0;
    wrong = isSet ? 0 : wrong + 1;
    last = [setpoint, air, timeSec];
  }
  if (last === undefined) return undefined;
  return { report: [right >= readingsMin, wrong >= readingsMin, ...last], breach: wrong >= readingsMin };
}

/** [timeSec, value] of a channel; null where the sensor or its clock was not to be trusted. */
function readings({ series }) {
  return series.flatMap(({ flags, marks, samples }) => {
    const isSound = flags < 0x100 && marks === 0;
    return samples.map(([timeSec, value]) => [timeSec, isSound ? value : null]);
  });
}
