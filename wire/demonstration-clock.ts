/**
 * The demonstration's voyage clock: real time, started at a chosen moment and run at a chosen speed. It is handed to
 * every process as one line of text, so that all of them, and the development chain, read the same time.
 *
 *   1767225600000@1795203600000x600      voyage start (ms) @ real start (ms) x speed
 */
export type DemonstrationClock = {
  readonly voyageStartMs: number;
  readonly realStartMs: number;
  /** Voyage seconds per real second. */
  readonly speed: number;
};

export const demonstrationSpeedMax = 3_600;

export function formatDemonstrationClock({ voyageStartMs, realStartMs, speed }: DemonstrationClock): string {
  return `${voyageStartMs}@${realStartMs}x${speed}`;
}

export function parseDemonstrationClock(text: string): DemonstrationClock | undefined {
  const parts = /^(\d{1,15})@(\d{1,15})x(\d{1,4})$/.exec(text);
  if (parts === null) return undefined;
  const speed = Number(parts[3]);
  if (speed < 1 || speed > demonstrationSpeedMax) return undefined;
  return { voyageStartMs: Number(parts[1]), realStartMs: Number(parts[2]), speed };
}

export function voyageMsAt(clock: DemonstrationClock, realMs: number): number {
  return clock.voyageStartMs + Math.floor((realMs - clock.realStartMs) * clock.speed);
}
