/** One JSON line per decision, on stderr. Never a secret, never a whole envelope. */
export type Level = 'debug' | 'info' | 'warn' | 'error';
export type Log = (level: Level, event: string, fields?: Readonly<Record<string, unknown>>) => void;

export function formatLogLine(
  nowMs: number,
  level: Level,
  event: string,
  fields: Readonly<Record<string, unknown>>,
): string {
  const line = { ts: new Date(nowMs).toISOString(), level, event, ...fields };
  return JSON.stringify(line, (_key, value: unknown) => (typeof value === 'bigint' ? value.toString() : value));
}

/** `ts` is the voyage's time, so that a line can be held against readings and blocks. */
export function logToStderr(nowMs: () => number, options: { isDebug: boolean }): Log {
  return (level, event, fields = {}) => {
    if (level === 'debug' && !options.isDebug) return;
    process.stderr.write(`${formatLogLine(nowMs(), level, event, fields)}\n`);
  };
}

export const silent: Log = () => undefined;
