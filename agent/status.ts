/** What a field engineer asks the box: what is queued and why. HTTP, GET only: nothing can be changed here. */
import { createServer, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { marks } from '@coldproof/wire';
import { describeError, OperatingError } from './operating-error.ts';

export type DeviceStatus = {
  readonly name: string;
  /** SHA-256(x ‖ y), hex. */
  readonly device: string;
  readonly link: { readonly connected: boolean };
  /** Readings that no batch has yet. */
  readonly unsealed: number;
  /** Batches that no receipt has come for. */
  readonly queued: number;
  /** Batches and receipts since the key was made. */
  readonly sealed: number;
  readonly receipts: number;
  /** ISO 8601, undefined before the first. */
  readonly lastReadingAt: string | undefined;
  /** Channels whose newest reading has a mark, with the gravest one's name. */
  readonly faults: { readonly [channel: string]: string };
};

export type AgentStatus = {
  readonly devices: readonly DeviceStatus[];
  readonly refused: { readonly [reason: string]: number };
  /** Whether all devices have their connection. */
  readonly link: { readonly connected: boolean };
};

/** A reading's marks, the gravest first. */
export function markNames(marked: number): string[] {
  return marksByGravity.filter(([, mark]) => (marked & mark) !== 0).map(([name]) => name);
}

const marksByGravity = [
  ['invalid-value', marks.invalidValue],
  ['stuck', marks.stuck],
  ['out-of-range', marks.outOfRange],
  ['spike', marks.spike],
] as const;

export type StatusServer = { readonly port: number; close(): Promise<void> };

/** Throws `port-unavailable`. Port 0 takes a free one. */
export async function openStatusServer(
  { host, port }: { readonly host: string; readonly port: number },
  status: () => AgentStatus,
): Promise<StatusServer> {
  const limits = { requestTimeout: 5_000, headersTimeout: 5_000, maxHeaderSize: 8_192 };
  const server = createServer(limits, (request, response) => {
    const path = (request.url ?? '').split('?')[0];
    if (request.method !== 'GET' && request.method !== 'HEAD') answer(response, 405, { error: 'GET only' });
    else if (path === '/status') answer(response, 200, status());
    else if (path === '/healthz') answer(response, 200, { status: 'ok' });
    else answer(response, 404, { error: 'expected /status or /healthz' });
  });
  server.maxConnections = 16;
  await new Promise<void>((resolve, reject) => {
    server.once('error', (cause) => {
      const message = `http ${host}:${port}: ${describeError(cause)}`;
      reject(new OperatingError('port-unavailable', message, { retry: 'later', cause }));
    });
    server.listen(port, host, resolve);
  });
  return {
    // A server that listens on TCP has an address of this form.
    port: (server.address() as AddressInfo).port,
    async close() {
      await new Promise<void>((resolve) => {
        server.close(() => resolve());
        server.closeAllConnections();
      });
    },
  };
}

function answer(response: ServerResponse, code: number, body: unknown): void {
  response.writeHead(code, {
    'content-type': 'application/json',
    'cache-control': 'no-store',
    'x-content-type-options': 'nosniff',
  });
  response.end(`${JSON.stringify(body)}\n`);
}
