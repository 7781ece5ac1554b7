/** One JSON line per decision: {"ts":"2026-01-01T01:30:00.000Z","level":"info","event":"door-opens"}. No secrets. */
import type { Clock } from './clock.ts';

export type Level = 'info' | 'warn' | 'error';
export type Fields = Readonly<Record<string, string | number | boolean>>;
export type Log = (level: Level, event: string, fields?: Fields) => void;

/** `ts` is the clock's time: in a demonstration, the voyage's. */
export function logLines(clock: Clock, write: (line: string) => void): Log {
  return (level, event, fields = {}) => {
    write(`${JSON.stringify({ ts: new Date(clock.nowMs()).toISOString(), level, event, ...fields })}\n`);
  };
}
