/** What a field engineer asks the box: what is queued and why. HTTP, GET only: nothing can be changed here. */
import { createServer, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { marks } from '@coldproof/wire';
import { cabPagePolicy } from './cab-page.ts';
import type { ClockStatus } from './clock-watch.ts';
import type { OrderWarnings } from './judge.ts';
import { formatMetrics, metricsContentType, processFigures } from './metrics.ts';
import { describeError, OperatingError } from './operating-error.ts';
import type { DeviceQueue } from './queue.ts';
import type { JournalStatus } from './room.ts';
import type { LinkStatus } from './uplink-state.ts';
import type { WarnerStatus } from './warner.ts';

export type DeviceStatus = {
  readonly name: string;
  /** SHA-256(x ‖ y), hex. */
  readonly device: string;
  /** Whether all uplinks have their connection; `why` the first that has none has none. */
  readonly link: { readonly connected: boolean; readonly why?: string | undefined };
  readonly links: readonly LinkStatus[];
  /** Readings that no batch has yet. */
  readonly unsealed: number;
  /** Batches that too few receipts have come for. */
  readonly queued: number;
  /** Batches since the key was made, and how many of them have enough receipts. */
  readonly sealed: number;
  readonly receipts: number;
  /** Readings that could not be kept, since the key was made. */
  readonly dropped: number;
  /** ISO 8601, undefined before the first. */
  readonly lastReadingAt: string | undefined;
  /** Channels whose newest reading has a mark, with the gravest one's name; 'gap' for one that has fallen silent. */
  readonly faults: { readonly [channel: string]: string };
  /** How the shipment stands against its terms; undefined where the gateway has none. */
  readonly terms: OrderWarnings | undefined;
};

export type AgentStatus = {
  readonly devices: readonly DeviceStatus[];
  readonly refused: { readonly [reason: string]: number };
  /** Whether all devices have their connection. */
  readonly link: { readonly connected: boolean };
  /** The command for lamp or buzzer. */
  readonly warn: WarnerStatus;
  readonly journal: JournalStatus;
  readonly clock: ClockStatus;
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

export type StatusPages = {
  readonly status: () => AgentStatus;
  readonly queue: () => readonly DeviceQueue[];
  /** HTML. */
  readonly cab: () => string;
  /** Samples are taken. A link that is down is no reason against it: to keep them meanwhile is what an agent is for. */
  readonly isReady: () => boolean;
};

/** Throws `port-unavailable`. Port 0 takes a free one. */
export async function openStatusServer(
  { host, port }: { readonly host: string; readonly port: number },
  pages: StatusPages,
): Promise<StatusServer> {
  const limits = { requestTimeout: 5_000, headersTimeout: 5_000, maxHeaderSize: 8_192 };
  const server = createServer(limits, (request, response) => {
    if (request.method !== 'GET' && request.method !== 'HEAD') answer(response, 405, { error: 'GET only' });
    else show(response, (request.url ?? '').split('?')[0]!, pages);
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

function show(response: ServerResponse, path: string, { status, queue, cab, isReady }: StatusPages): void {
  const known = '/, /status, /queue, /healthz, /readyz or /metrics';
  if (path === '/') send(response, 200, 'text/html; charset=utf-8', cab());
  else if (path === '/status') answer(response, 200, status());
  else if (path === '/queue') answer(response, 200, queue());
  else if (path === '/healthz') answer(response, 200, { status: 'ok' });
  else if (path === '/readyz') answer(response, isReady() ? 200 : 503, { ready: isReady() });
  else if (path === '/metrics') send(response, 200, metricsContentType, formatMetrics(status(), processFigures()));
  else answer(response, 404, { error: `expected ${known}` });
}

function answer(response: ServerResponse, code: number, body: unknown): void {
  send(response, code, 'application/json', `${JSON.stringify(body)}\n`);
}

function send(response: ServerResponse, code: number, contentType: string, body: string): void {
  response.writeHead(code, {
    'content-type': contentType,
    'cache-control': 'no-store',
    'x-content-type-options': 'nosniff',
    'content-security-policy': cabPagePolicy,
  });
  response.end(body);
}
