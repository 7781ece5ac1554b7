/** A proxy in front of a chain's RPC that loses, delays and answers wrongly, as networks and providers do. */
import { once } from 'node:events';
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';

/**
 * pass           as it is
 * lose-request   the node never sees it; the connection breaks
 * lose-response  the node does it; the connection breaks before the answer
 * twice          the node gets it twice; the second answer counts
 * { error }      the node never sees it; this JSON-RPC error is answered
 * { status }     the node never sees it; this HTTP status is answered
 * { result }     the node never sees it; this is answered, true or not
 */
export type Fate =
  | 'pass'
  | 'lose-request'
  | 'lose-response'
  | 'twice'
  | { readonly error: string }
  | { readonly status: number }
  | { readonly result: unknown };

export type RpcCall = { readonly id: unknown; readonly method: string; readonly params: readonly unknown[] };

export class FaultyRpc {
  /** What happens to a call. Changed by the test as it goes. */
  decide: (call: RpcCall) => Fate = () => 'pass';
  readonly calls: RpcCall[] = [];
  readonly #server: Server;

  private constructor(targetUrl: string) {
    this.#server = createServer((request, response) => {
      const answer = async () => {
        const chunks: Buffer[] = [];
        for await (const chunk of request) chunks.push(chunk as Buffer);
        const body = Buffer.concat(chunks).toString();
        const call = JSON.parse(body) as RpcCall;
        this.calls.push(call);
        const fate = this.decide(call);
        const forward = () =>
          fetch(targetUrl, { method: 'POST', body, headers: { 'content-type': 'application/json' } });
        if (fate === 'lose-request') return request.socket.destroy();
        if (typeof fate === 'object' && 'status' in fate) return response.writeHead(fate.status).end();
        response.setHeader('content-type', 'application/json');
        if (typeof fate === 'object') {
          const outcome = 'error' in fate ? { error: { code: -32_000, message: fate.error } } : { result: fate.result };
          return response.end(JSON.stringify({ jsonrpc: '2.0', id: call.id, ...outcome }));
        }
        if (fate === 'twice') await (await forward()).text();
        const text = await (await forward()).text();
        if (fate === 'lose-response') return request.socket.destroy();
        return response.end(text);
      };
      // The node is away: so is the proxy.
      answer().catch(() => request.socket.destroy());
    });
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
    this.#server.closeAllConnections();
    this.#server.close();
    await once(this.#server, 'close');
  }
}
