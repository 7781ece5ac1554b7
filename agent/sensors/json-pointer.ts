/** JSON pointers (RFC 6901): "/probes/0/celsius". */

/** The reference tokens, unescaped; undefined for what is no pointer. The empty pointer is the whole document. */
export function parsePointer(text: string): readonly string[] | undefined {
  if (text === '') return [];
  if (!text.startsWith('/') || /~(?![01])/.test(text)) return undefined;
  // RFC 6901 §4: ~1 before ~0, so that ~01 is "~1" and not "/".
  return text
    .slice(1)
    .split('/')
    .map((token) => token.replaceAll('~1', '/').replaceAll('~0', '~'));
}

/** Undefined when the pointer leads nowhere; JSON itself has no undefined. */
export function valueAt(document: unknown, steps: readonly string[]): unknown {
  let value = document;
  for (const step of steps) {
    if (typeof value !== 'object' || value === null) return undefined;
    // §4: an index has no leading zero. "length" is no element of the array, "toString" no member of the object.
    if (Array.isArray(value) && !/^(0|[1-9]\d*)$/.test(step)) return undefined;
    value = Object.hasOwn(value, step) ? Object.getOwnPropertyDescriptor(value, step)!.value : undefined;
  }
  return value;
}
