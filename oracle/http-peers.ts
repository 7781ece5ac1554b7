/**
 * The part of the read side that is for the other oracles of the consortium alone: the leaves of the log, and the
 * batches under them. A batch holds all that a device measured, its position too; so who asks shows a request signed by
 * a configured node, for this log, this path and about this time.
 */
import type { FastifyInstance, FastifyRequest } from 'fastify';
import { bytesEqual, bytesToHex, reject, accept, verifyPeerMessage, type Verdict } from '@coldproof/wire';
import { leavesMax, requestHeader } from './network/peer-api.ts';
import type { Peers } from './network/peers.ts';
import { opensslEd25519 } from './openssl-ed25519.ts';
import type { Store } from './store.ts';

export type PeerRouteSources = { readonly store: Store; readonly peers: Peers; readonly nowSec: () => number };

type RequestReason = 'request-unsigned' | 'request-of-another' | 'request-out-of-time';

/** Clocks of nodes are further apart than those of devices may be; a path can be asked for again within it. */
const requestAgeSecMax = 300;

/** A node that catches up asks for one batch after the other; each request costs a signature to check. */
const peerLimit = { rateLimit: { max: 60_000, timeWindow: 60_000 } };

const wholeNumber = { type: 'string', pattern: '^(0|[1-9][0-9]{0,15})$' } as const;

export type PeerRoutes = (app: FastifyInstance) => void;

export function peerRoutes(sources: PeerRouteSources): PeerRoutes {
  return (app) => addRoutes(app, sources);
}

function addRoutes(app: FastifyInstance, { store, peers, nowSec }: PeerRouteSources): void {
  const admit = (request: FastifyRequest) => judgeRequest(request.headers[requestHeader], request.url, peers, nowSec());

  app.get<{ Querystring: { first: string; count: string } }>(
    '/api/v1/leaves',
    { config: peerLimit, schema: { querystring: queryOf(['first', 'count']) } },
    (request, reply) => {
      const admitted = admit(request);
      if (!admitted.ok) return reply.code(403).send({ error: `${admitted.reason}: ${admitted.detail}` });
      const count = Math.min(leavesMax, Number(request.query.count));
      const leaves = store.log.leaves(Number(request.query.first), count).map(({ device, sequence, digest }) => {
        return { device: bytesToHex(device), sequence, digest: bytesToHex(digest) };
      });
      return { first: Number(request.query.first), leaves };
    },
  );

  app.get<{ Querystring: { index: string } }>(
    '/api/v1/envelope',
    { config: peerLimit, schema: { querystring: queryOf(['index']) } },
    (request, reply) => {
      const admitted = admit(request);
      if (!admitted.ok) return reply.code(403).send({ error: `${admitted.reason}: ${admitted.detail}` });
      const envelope = store.log.envelope(Number(request.query.index));
      if (envelope === undefined) return reply.code(404).send({ error: `no leaf ${request.query.index}` });
      return { index: Number(request.query.index), envelope: Buffer.from(envelope).toString('base64') };
    },
  );
}

function judgeRequest(
  shown: string | string[] | undefined,
  path: string,
  peers: Peers,
  nowSec: number,
): Verdict<true, RequestReason> {
  const bytes = Uint8Array.from(Buffer.from(typeof shown === 'string' ? shown : '', 'base64'));
  const message = verifyPeerMessage(bytes, (node) => peers.byId(bytesToHex(node))?.logPublicKey, opensslEd25519);
  if (!message.ok) return reject('request-unsigned', `header ${requestHeader}: ${message.detail}`);
  const { content } = message.value;
  if (content.kind !== 'request' || content.path !== path || !bytesEqual(content.log, peers.self.node)) {
    return reject('request-of-another', `expected a request for ${path} of this log`);
  }
  if (Math.abs(content.timeSec - nowSec) > requestAgeSecMax) {
    return reject('request-out-of-time', `time: expected ${nowSec} ± ${requestAgeSecMax}, got ${content.timeSec}`);
  }
  return accept(true);
}

function queryOf(required: readonly string[]) {
  const properties = Object.fromEntries(required.map((name) => [name, wholeNumber]));
  return { type: 'object', properties, required, additionalProperties: false };
}
