/** The agent's own version, as its package says it. */
import { readFileSync } from 'node:fs';

export const agentVersion: string = (
  JSON.parse(readFileSync(new URL('../package.json', import.meta.url), 'utf8')) as { version: string }
).version;
