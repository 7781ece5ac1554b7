/** The demonstration's own door: GET /api/v1/status on loopback. */
import fastify, { type FastifyInstance } from 'fastify';

export async function openDoor(port: number, status: () => object): Promise<{ url: string; close(): Promise<void> }> {
  const door: FastifyInstance = fastify({ forceCloseConnections: true });
  door.get('/api/v1/status', () => status());
  const url = await door.listen({ host: '127.0.0.1', port });
  return { url, close: () => door.close() };
}
