/** The audit trail, entry by entry, as it is chained. */
import { formatCursor } from './cursor.ts';
import { cursorOf, type Api } from './route.ts';
import * as schema from './schema.ts';

const entryAnswer = schema.object({
  entry: schema.integer,
  timeMs: schema.integer,
  who: schema.text,
  what: schema.text,
  subject: schema.text,
  detail: schema.text,
  previous: schema.hexText,
  digest: schema.hexText,
});

export function addAudit({ app, sources: { store } }: Api): void {
  app.get<{ Querystring: { cursor?: string; limit: number } }>(
    '/api/v1/audit',
    {
      config: { scope: 'audit' },
      schema: schema.describeRoute({
        summary: 'Who did what, when: oldest first, each entry with the digest of the one before',
        tag: 'audit',
        query: schema.input({ cursor: schema.cursorText, limit: schema.limitUpTo(500, 100) }),
        answer: schema.page(entryAnswer),
      }),
    },
    ({ query: { cursor, limit } }) => {
      const [after] = cursorOf(cursor, [0]);
      const items = store.audit.after(after, limit);
      return { items, next: items.length < limit ? null : formatCursor([items.at(-1)!.entry]) };
    },
  );
}
