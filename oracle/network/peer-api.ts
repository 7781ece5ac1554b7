/** Another node's HTTP API, as far as its log is followed there. Every answer is bounded, and checked by who asked. */
import { encodePeerBody, encodePeerMessage, parseHex, peerPreimage, type PeerMessage } from '@coldproof/wire';
import type { LogKey } from '../log-key.ts';
import { OperatingError, describeError } from '../operating-error.ts';
import type { Peer } from './peers.ts';

/** A leaf as the other log tells it: nothing of it is believed before it is proved. */
export type PeerLeaf = { readonly device: Uint8Array; readonly sequence: number; readonly digest: Uint8Array };

/** Each throws OperatingError 'peer-unreachable' (retry later), also for an answer that has not the form. */
export type PeerApi = {
  checkpoint(peer: Peer): Promise<string>;
  consistency(peer: Peer, first: number, second: number): Promise<readonly Uint8Array[]>;
  leaves(peer: Peer, first: number, count: number): Promise<readonly PeerLeaf[]>;
  /** Undefined when the other node has removed it: it is older than that node's log.retentionDays. */
  envelope(peer: Peer, index: number): Promise<Uint8Array | undefined>;
};

/** Leaves in one answer. */
export const leavesMax = 256;
/** An envelope in base64 with room, or 256 leaves of 200 characters. */
const answerBytesMax = 128 * 1024;
const answerMsMax = 5_000;
/** The header that carries a PeerRequest. */
export const requestHeader = 'coldproof-peer';

export type PeerApiDeps = {
  readonly logKey: LogKey;
  readonly self: Peer;
  readonly nowSec: () => number;
  readonly fetch: typeof fetch;
};

export function openPeerApi(deps: PeerApiDeps): PeerApi {
  const ask = async (peer: Peer, path: string) => {
    const answer = await askPeer(deps, peer, path);
    if (answer === undefined) throw malformed(peer, `${path}: HTTP 410`);
    return answer;
  };
  return {
    checkpoint: (peer) => ask(peer, '/api/v1/checkpoint'),
    async consistency(peer, first, second) {
      const answer = await ask(peer, `/api/v1/proof/consistency?first=${first}&second=${second}`);
      return listOf(peer, answer, 'path').map((each) => digestOf(peer, each));
    },
    async leaves(peer, first, count) {
      const answer = await ask(peer, `/api/v1/leaves?first=${first}&count=${count}`);
      return listOf(peer, answer, 'leaves').map((each) => leafOf(peer, each));
    },
    async envelope(peer, index) {
      const said = await askPeer(deps, peer, `/api/v1/envelope?index=${index}`);
      if (said === undefined) return undefined;
      const answer: unknown = parse(peer, said);
      const text = typeof answer === 'object' && answer !== null && 'envelope' in answer ? answer.envelope : undefined;
      if (typeof text !== 'string') throw malformed(peer, 'envelope: expected base64');
      return Uint8Array.from(Buffer.from(text, 'base64'));
    },
  };
}

/** Undefined for what was there and is gone (RFC 9110 §15.5.11). */
async function askPeer(
  { logKey, self, nowSec, fetch }: PeerApiDeps,
  peer: Peer,
  path: string,
): Promise<string | undefined> {
  const content = { kind: 'request', log: peer.node, timeSec: nowSec(), path } as const;
  // A request belongs to no configuration: a node that is behind with the chain may catch up all the same.
  const message: PeerMessage = { config: new Uint8Array(32), node: self.node, content };
  const body = encodePeerBody(message);
  const shown = Buffer.from(encodePeerMessage(body, logKey.sign(peerPreimage(body)))).toString('base64');
  try {
    const url = new URL(path, peer.url);
    const signal = AbortSignal.timeout(answerMsMax);
    const response = await fetch(url, { headers: { [requestHeader]: shown }, redirect: 'error', signal });
    if (response.ok) return await readBounded(response);
    await response.body?.cancel();
    if (response.status === 410) return undefined;
    throw new Error(`HTTP ${response.status}`);
  } catch (cause) {
    const message = `${path} of ${peer.name}: ${describeError(cause)}`;
    throw new OperatingError('peer-unreachable', message, { retry: 'later', cause });
  }
}

async function readBounded(response: Response): Promise<string> {
  const parts: Uint8Array[] = [];
  let size = 0;
  // Node's fetch streams bytes; the type leaves it open.
  for await (const part of (response.body ?? []) as AsyncIterable<Uint8Array>) {
    size += part.length;
    if (size > answerBytesMax) throw new Error(`expected <= ${answerBytesMax} bytes`);
    parts.push(part);
  }
  return Buffer.concat(parts).toString('utf8');
}

function parse(peer: Peer, text: string): unknown {
  try {
    return JSON.parse(text);
  } catch (cause) {
    throw malformed(peer, 'expected JSON', cause);
  }
}

function listOf(peer: Peer, text: string, field: string): unknown[] {
  const answer = parse(peer, text);
  const list: unknown =
    typeof answer === 'object' && answer !== null ? (answer as Record<string, unknown>)[field] : undefined;
  if (!Array.isArray(list)) throw malformed(peer, `${field}: expected a list`);
  return list;
}

function digestOf(peer: Peer, value: unknown): Uint8Array {
  const bytes = typeof value === 'string' ? parseHex(value, 32) : undefined;
  if (bytes === undefined) throw malformed(peer, 'expected 32 bytes in hex');
  return bytes;
}

function leafOf(peer: Peer, value: unknown): PeerLeaf {
  const { device, sequence, digest } = (typeof value === 'object' && value !== null ? value : {}) as Record<
    keyof PeerLeaf,
    unknown
  >;
  if (typeof sequence !== 'number' || !Number.isSafeInteger(sequence) || sequence < 0) {
    throw malformed(peer, 'sequence: expected a whole number');
  }
  return { device: digestOf(peer, device), sequence, digest: digestOf(peer, digest) };
}

function malformed(peer: Peer, why: string, cause?: unknown): OperatingError {
  return new OperatingError('peer-unreachable', `answer of ${peer.name}: ${why}`, { retry: 'later', cause });
}
