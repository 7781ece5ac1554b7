/** The audit trail: one way in, each entry bound to the one before by its digest. */
import { bytesToHex, formatJson, utf8ToBytes } from '@coldproof/wire';
import { opensslSha256 as sha256 } from './openssl-crypto.ts';
import type { AuditEntry } from './store-audit.ts';
import type { Store } from './store.ts';
import type { Token } from './token-file.ts';

export type Deed = Pick<AuditEntry, 'who' | 'what' | 'subject' | 'detail'>;

const noPrevious = '0'.repeat(64);

/** SHA-256 over the entry as a canonical JSON list, so that an auditor can do it with any tool. */
export function digestAuditEntry(entry: Omit<AuditEntry, 'digest'>): string {
  const { entry: number, timeMs, who, what, subject, detail, previous } = entry;
  return bytesToHex(sha256(utf8ToBytes(formatJson([number, timeMs, who, what, subject, detail, previous]))));
}

/** On disk when this returns. */
export function recordDeed(store: Store, nowMs: number, deed: Deed): AuditEntry {
  return store.transaction(() => {
    const last = store.audit.last();
    const open = { ...deed, entry: (last?.entry ?? 0) + 1, timeMs: nowMs, previous: last?.digest ?? noPrevious };
    const entry = { ...open, digest: digestAuditEntry(open) };
    store.audit.insert(entry);
    return entry;
  });
}

/** Tokens are made and revoked by hand, in a file: the trail has them from when the oracle saw the file. */
export function recordTokens(store: Store, nowMs: number, tokens: readonly Token[]): void {
  store.transaction(() => {
    const known = new Set(store.events.subjects('token'));
    for (const { id, label, scopes, party, orders, channels } of tokens) {
      if (known.delete(id)) continue;
      const detail = JSON.stringify({ label, scopes, party, orders, channels });
      recordDeed(store, nowMs, { who: 'oracle', what: 'token-created', subject: id, detail });
      store.events.setAnnounced('token', { subject: id, print: detail, version: 0, isSettled: true });
    }
    for (const id of known) {
      recordDeed(store, nowMs, { who: 'oracle', what: 'token-revoked', subject: id, detail: '' });
      store.events.deleteAnnounced('token', id);
    }
  });
}

/** The first entry that is not what it was, if any; `before` is the digest that the first of them must follow. */
export function findTampered(entries: readonly AuditEntry[], before = noPrevious): AuditEntry | undefined {
  let previous = before;
  return entries.find((entry) => {
    const isBound = entry.previous === previous && entry.digest === digestAuditEntry(entry);
    previous = entry.digest;
    return !isBound;
  });
}
