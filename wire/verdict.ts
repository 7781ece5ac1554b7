/**
 * What an outsider can cause is answered, never thrown: bytes, signatures and sequences get a Verdict.
 * `reason` is a closed union that callers count and test by; `detail` names the field, the value and the bound.
 */
export type Verdict<Value, Reason extends string> =
  | { readonly ok: true; readonly value: Value }
  | { readonly ok: false; readonly reason: Reason; readonly detail: string };

export function accept<Value>(value: Value): { readonly ok: true; readonly value: Value } {
  return { ok: true, value };
}

export function reject<Reason extends string>(
  reason: Reason,
  detail: string,
): { readonly ok: false; readonly reason: Reason; readonly detail: string } {
  return { ok: false, reason, detail };
}

/** For what only a bug can cause: crash, restart, recover. */
export function assert(condition: boolean, why: string): asserts condition {
  if (!condition) throw new Error(`assertion failed: ${why}`);
}
