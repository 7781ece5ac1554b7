/** One JSON line for each decision: `{ts, level, event, ...}`. Never a secret, never a payload. */
export type LogLevel = 'info' | 'warn' | 'error';

/** A field's value is what JSON holds; digests and devices go in as hex. */
export type LogFields = { readonly [field: string]: string | number | boolean | undefined };

export type Log = (level: LogLevel, event: string, fields?: LogFields) => void;

/** `write` gets whole lines. */
export function jsonLog(write: (line: string) => void, nowMs: () => number): Log {
  return (level, event, fields = {}) => {
    write(`${JSON.stringify({ ts: new Date(nowMs()).toISOString(), level, event, ...fields })}\n`);
  };
}
