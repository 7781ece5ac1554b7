/** The transparency log, for anyone: its signed head, and proofs of RFC 9162. No token is asked for. */
import { bytesToHex } from '@coldproof/wire';
import { Refusal, type Api } from './route.ts';
import * as schema from './schema.ts';

const path = schema.list(schema.hexText);

export function addLog({ app, sources: { store, log } }: Api): void {
  app.get(
    '/api/v1/checkpoint',
    {
      schema: schema.describeRoute({
        summary: "The log's signed head (c2sp.org/tlog-checkpoint)",
        tag: 'log',
        media: 'text/plain',
        isPublic: true,
      }),
    },
    (_request, reply) => reply.type('text/plain; charset=utf-8').send(log.checkpoint()),
  );
  app.get<{ Querystring: { index: string; size?: string } }>(
    '/api/v1/proof/inclusion',
    {
      schema: schema.describeRoute({
        summary: 'Inclusion proof (RFC 9162 §2.1.3)',
        tag: 'log',
        query: schema.input({ index: schema.wholeNumberText, size: schema.wholeNumberText }, ['index']),
        answer: schema.object({ index: schema.integer, size: schema.integer, digest: schema.hexText, path }),
        isPublic: true,
      }),
    },
    ({ query }) => {
      const index = Number(query.index);
      const size = Number(query.size ?? log.size);
      const digest = index < size && size <= log.size ? store.log.digest(index) : undefined;
      if (digest === undefined) {
        throw new Refusal(404, `expected index < size <= ${log.size}, got index ${index}, size ${size}`);
      }
      return { index, size, digest: bytesToHex(digest), path: log.inclusionProof(index, size).map(hexOf) };
    },
  );
  app.get<{ Querystring: { first: string; second?: string } }>(
    '/api/v1/proof/consistency',
    {
      schema: schema.describeRoute({
        summary: 'Consistency proof (RFC 9162 §2.1.4)',
        tag: 'log',
        query: schema.input({ first: schema.wholeNumberText, second: schema.wholeNumberText }, ['first']),
        answer: schema.object({ first: schema.integer, second: schema.integer, path }),
        isPublic: true,
      }),
    },
    ({ query }) => {
      const first = Number(query.first);
      const second = Number(query.second ?? log.size);
      if (first < 1 || first > second || second > log.size) {
        const expected = `expected 1 <= first <= second <= ${log.size}`;
        throw new Refusal(404, `${expected}, got first ${first}, second ${second}`);
      }
      return { first, second, path: log.consistencyProof(first, second).map(hexOf) };
    },
  );
}

function hexOf(bytes: Uint8Array): string {
  return bytesToHex(bytes);
}
