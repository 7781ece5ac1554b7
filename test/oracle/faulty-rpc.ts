/** A proxy in front of a chain's RPC that loses, delays and answers wrongly, as networks and providers do. */
import { once } from 'node:events';
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { Transport, targetOf, type Target } from '@coldproof/oracle/chain-transport';

/**
 * pass           as it is
 * lose-request   the node never sees it; the connection breaks
 * lose-response  the node does it; the connection breaks before the answer
 * late           the connection breaks; the node gets it after some others that came later
 * twice          the node gets it twice; the second answer counts
 * hang           the node never sees it; nothing is answered while the asker waits
 * truncate       the node does it; half of its answer comes
 * { delayMs }    the node does it at once; the answer comes later
 * { error }      the node never sees it; this JSON-RPC error is answered
 * { status }     the node never sees it; this HTTP status is answered
 * { result }     the node never sees it; this is answered, true or not
 * { lie }        the node does it; its result is changed
 */
export type Fate =
  | 'pass'
  | 'lose-request'
  | 'lose-response'
  | 'late'
  | 'twice'
  | 'hang'
  | 'truncate'
  | { readonly delayMs: number }
  | { readonly error: string }
  | { readonly status: number }
  | { readonly result: unknown }
  | { readonly lie: (truth: unknown) => unknown };

export type RpcCall = { readonly id: unknown; readonly method: string; readonly params: readonly unknown[] };

/** Calls that come before a late one is passed on. */
const lateCalls = 5;
const patienceMs = 20_000;

export class FaultyRpc {
  /** What happens to a call. Changed by the test as it goes. */
  decide: (call: RpcCall) => Fate = () => 'pass';
  readonly calls: RpcCall[] = [];
  readonly #server: Server;
  readonly #target: Target;
  readonly #transport = new Transport(patienceMs);
  readonly #late: { readonly body: string; readonly afterCall: number }[] = [];

  private constructor(targetUrl: string) {
    this.#target = targetOf(targetUrl);
    this.#server = createServer((request, response) => {
      // The node is away: so is the proxy.
      this.#answer(request, response).catch(() => request.socket.destroy());
    });
  }

  async #answer(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const chunks: Buffer[] = [];
    for await (const chunk of request) chunks.push(chunk as Buffer);
    const body = Buffer.concat(chunks).toString();
    const call = JSON.parse(body) as RpcCall;
    this.calls.push(call);
    await this.passLate(this.calls.length);
    const fate = this.decide(call);
    if (fate === 'hang') return;
    if (fate === 'lose-request') return void request.socket.destroy();
    if (fate === 'late') {
      this.#late.push({ body, afterCall: this.calls.length + lateCalls });
      return void request.socket.destroy();
    }
    if (typeof fate === 'object' && 'status' in fate) return void response.writeHead(fate.status).end();
    response.setHeader('content-type', 'application/json');
    if (typeof fate === 'object' && !('lie' in fate) && !('delayMs' in fate)) {
      const outcome = 'error' in fate ? { error: { code: -32_000, message: fate.error } } : { result: fate.result };
      return void response.end(JSON.stringify({ jsonrpc: '2.0', id: call.id, ...outcome }));
    }
    if (fate === 'twice') await this.#forward(body);
    const text = await this.#forward(body);
    if (fate === 'lose-response') return void request.socket.destroy();
    if (fate === 'truncate') return void response.end(text.slice(0, text.length / 2));
    if (typeof fate === 'object' && 'delayMs' in fate) {
      setTimeout(() => response.end(text), fate.delayMs);
      return;
    }
    if (typeof fate === 'object') {
      const truth = JSON.parse(text) as { result?: unknown };
      if ('result' in truth) truth.result = fate.lie(truth.result);
      return void response.end(JSON.stringify(truth));
    }
    response.end(text);
  }

  /** Passes on what is late by now, or all of it. */
  async passLate(calls = Infinity): Promise<void> {
    const due = this.#late.filter(({ afterCall }) => afterCall <= calls);
    for (const each of due) {
      this.#late.splice(this.#late.indexOf(each), 1);
      await this.#forward(each.body);
    }
  }

  async #forward(body: string): Promise<string> {
    return (await this.#transport.post(this.#target, body)).text;
  }

  static async open(targetUrl: string): Promise<FaultyRpc> {
    const rpc = new FaultyRpc(targetUrl);
    rpc.#server.listen(0, '127.0.0.1');
    await once(rpc.#server, 'listening');
    return rpc;
  }

  get url(): string {
    return `http://127.0.0.1:${(this.#server.address() as AddressInfo).port}`;
  }

  async close(): Promise<void> {
    this.#transport.close();
    this.#server.closeAllConnections();
    this.#server.close();
    await once(this.#server, 'close');
  }
}
