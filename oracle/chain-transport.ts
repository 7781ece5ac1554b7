/** One POST over HTTP, bounded in time and size as a whole. Connections are kept; nothing is tried twice here. */
import { Agent as HttpAgent, request as httpRequest, type IncomingMessage } from 'node:http';
import { Agent as HttpsAgent, request as httpsRequest } from 'node:https';

/** A query for events of a thousand blocks gives a few MiB. */
const answerBytesMax = 64 * 1024 * 1024;

export type Target = { readonly url: URL; readonly headers: Readonly<Record<string, string>> };

/** User and password of a URL go into the header that they are meant for. */
export function targetOf(text: string): Target {
  const url = new URL(text);
  const { username, password } = url;
  url.username = '';
  url.password = '';
  const words = Buffer.from(`${decodeURIComponent(username)}:${decodeURIComponent(password)}`).toString('base64');
  const authorization = username === '' && password === '' ? {} : { authorization: `Basic ${words}` };
  return { url, headers: { 'content-type': 'application/json', ...authorization } };
}

export class Transport {
  readonly #timeoutMs: number;
  readonly #http = new HttpAgent({ keepAlive: true });
  readonly #https = new HttpsAgent({ keepAlive: true });

  constructor(timeoutMs: number) {
    this.#timeoutMs = timeoutMs;
  }

  /** The body of the answer, and its status. Throws what the connection fails with, and when the time is over. */
  post({ url, headers }: Target, body: string): Promise<{ readonly status: number; readonly text: string }> {
    return new Promise((resolve, reject) => {
      const isTls = url.protocol === 'https:';
      const options = { method: 'POST', headers, agent: isTls ? this.#https : this.#http };
      const request = isTls ? httpsRequest(url, options) : httpRequest(url, options);
      const late = () => request.destroy(new Error(`no answer in ${this.#timeoutMs} ms`));
      const timer = setTimeout(late, this.#timeoutMs);
      const fail = (error: Error) => {
        clearTimeout(timer);
        reject(error);
      };
      request.on('error', fail);
      request.on('response', (response) => {
        readText(response).then((text) => {
          clearTimeout(timer);
          resolve({ status: response.statusCode ?? 0, text });
        }, fail);
      });
      request.end(body);
    });
  }

  /** Breaks off what is under way. */
  close(): void {
    this.#http.destroy();
    this.#https.destroy();
  }
}

async function readText(response: IncomingMessage): Promise<string> {
  const chunks: Buffer[] = [];
  let size = 0;
  for await (const chunk of response) {
    chunks.push(chunk as Buffer);
    size += (chunk as Buffer).length;
    if (size > answerBytesMax) throw new Error(`answer: expected at most ${answerBytesMax} bytes`);
  }
  return Buffer.concat(chunks).toString();
}
