/** A place in a list, as text that only the list reads. Pure. */
export type CursorPart = string | number;

export function formatCursor(parts: readonly CursorPart[]): string {
  return Buffer.from(JSON.stringify(parts)).toString('base64url');
}

/** Undefined unless it has the types of `like`. What it says is looked up under the caller's own rights. */
export function parseCursor<const Like extends readonly CursorPart[]>(
  text: string,
  like: Like,
): { readonly [Index in keyof Like]: Like[Index] extends number ? number : string } | undefined {
  let parts: unknown;
  try {
    parts = JSON.parse(Buffer.from(text, 'base64url').toString('utf8'));
  } catch {
    // Not JSON is not a cursor.
    return undefined;
  }
  if (!Array.isArray(parts) || parts.length !== like.length) return undefined;
  const isLike = (parts as unknown[]).every((part, i) => {
    if (typeof part === 'number') return typeof like[i] === 'number' && Number.isSafeInteger(part);
    // A NUL is no text to PostgreSQL.
    return typeof part === 'string' && typeof like[i] === 'string' && !part.includes('\0');
  });
  if (!isLike) return undefined;
  return parts as unknown as { readonly [Index in keyof Like]: Like[Index] extends number ? number : string };
}
