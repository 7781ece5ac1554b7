/**
 * JSON-RPC over the socket that anvil opens with --ipc, a line each way: a fifth of the time of a test that asks its
 * chain thousands of times went into HTTP.
 */
import { once } from 'node:events';
import { createConnection } from 'node:net';
import { createInterface } from 'node:readline';
import { toUtf8Bytes, toUtf8String, type FetchGetUrlFunc } from 'ethers';

export type Ipc = {
  /** Takes the place of HTTP in a FetchRequest of one call. */
  readonly getUrl: FetchGetUrlFunc;
  close(): void;
};

export async function connectIpc(path: string): Promise<Ipc> {
  const socket = createConnection(path);
  await once(socket, 'connect');
  const waiting = new Map<number, { answer: (line: string) => void; fail: (error: Error) => void }>();
  const failAll = (error: Error): void => {
    for (const { fail } of waiting.values()) fail(error);
    waiting.clear();
  };
  socket.on('error', failAll);
  socket.on('close', () => failAll(new Error(`${path}: the chain has closed it`)));
  createInterface({ input: socket }).on('line', (line) => {
    const { id } = JSON.parse(line) as { id: number };
    waiting.get(id)?.answer(line);
    waiting.delete(id);
  });
  return {
    getUrl: ({ body }) =>
      new Promise((resolve, reject) => {
        const text = toUtf8String(body!);
        const { id } = JSON.parse(text) as { id: number };
        const answer = (line: string): void =>
          resolve({ statusCode: 200, statusMessage: 'OK', headers: {}, body: toUtf8Bytes(line) });
        waiting.set(id, { answer, fail: reject });
        socket.write(`${text}\n`);
      }),
    close: () => socket.destroy(),
  };
}
