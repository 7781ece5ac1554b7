/** A verifying thread: packed request in, packed answer out. */
import { parentPort } from 'node:worker_threads';
import { assert } from '@coldproof/wire';
import { opensslCrypto } from './openssl-crypto.ts';
import { answerRequest } from './verify-packing.ts';

assert(parentPort !== null, 'this file runs as a worker thread');
const port = parentPort;
const crypto = opensslCrypto();

port.on('message', (request: ArrayBuffer) => {
  const answer = answerRequest(request, crypto);
  port.postMessage(answer, [answer.accepted]);
});
