/** Ports for programs that are configured first and started later: of the demonstration, and of tests. */
import { randomInt } from 'node:crypto';
import { once } from 'node:events';
import { createServer } from 'node:net';

/**
 * Below the ports that systems give out by themselves (Linux from 32768, RFC 6335 §6 from 49152): between the choice
 * and its use no client's connection and no other server can be given the same.
 */
const lowest = 20_000;
const end = 32_000;
const triesMax = 100;

/** Ports on which nobody listened a moment ago, all different. What listens on them does so on loopback only. */
export async function freePorts(count: number): Promise<number[]> {
  const found = new Set<number>();
  for (let tries = 0; found.size < count; tries++) {
    if (tries === triesMax + count)
      throw new Error(`no ${count} free ports in ${tries} tries from ${lowest} to ${end}`);
    const port = randomInt(lowest, end);
    if (await isFree(port)) found.add(port);
  }
  return [...found];
}

export async function freePort(): Promise<number> {
  const [port] = await freePorts(1);
  return port!;
}

async function isFree(port: number): Promise<boolean> {
  const server = createServer().listen(port, '127.0.0.1');
  try {
    await once(server, 'listening');
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'EADDRINUSE') return false;
    throw error;
  }
  await once(server.close(), 'close');
  return true;
}
