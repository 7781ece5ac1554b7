/** The thread that signs receipts: packed preimages in (log-key.ts), as many Ed25519 signatures out. */
import { sign, type KeyObject } from 'node:crypto';
import { parentPort, workerData } from 'node:worker_threads';
import { assert } from '@coldproof/wire';

assert(parentPort !== null, 'this file runs as a worker thread');
const port = parentPort;
// Handed over by log-key.ts.
const key = workerData as KeyObject;

port.on('message', (request: ArrayBuffer) => {
  const view = new DataView(request);
  const signatures = new Uint8Array(64 * view.getUint32(0));
  for (let at = 4, to = 0; to < signatures.length; to += 64) {
    const size = view.getUint32(at);
    signatures.set(sign(null, new Uint8Array(request, at + 4, size), key), to);
    at += 4 + size;
  }
  port.postMessage(signatures.buffer, [signatures.buffer]);
});
