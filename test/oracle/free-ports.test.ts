/** Ports for programs that start a moment later: nobody may be given one of them in the meantime. */
import { once } from 'node:events';
import { existsSync, readFileSync } from 'node:fs';
import { createServer, type Server } from 'node:net';
import t from 'tap';
import { freePorts } from '@coldproof/oracle/demonstration/free-ports';

const rangeFile = '/proc/sys/net/ipv4/ip_local_port_range';
const lowest = existsSync(rangeFile) ? Number.parseInt(readFileSync(rangeFile, 'utf8'), 10) : undefined;
/** Linux as it comes; whoever has widened the range has the collisions, too. */
const skip = lowest === 32_768 ? false : `ports given out from: expected 32768, got ${lowest}`;

t.test('none of them is one that the system gives out by itself', { skip }, async (t) => {
  const ports = await freePorts(200);
  t.equal(new Set(ports).size, 200);
  const given = ports.filter((port) => port >= lowest!);
  t.same(given, []);
});

t.test('and nobody listens on it', async (t) => {
  const taken: Server[] = [];
  t.teardown(() => taken.forEach((server) => server.close()));
  for (const port of await freePorts(50)) {
    const server = createServer().listen(port, '127.0.0.1');
    taken.push(server);
    await once(server, 'listening');
  }
  t.equal(taken.length, 50);
});
