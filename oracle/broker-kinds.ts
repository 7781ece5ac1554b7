/** Which kinds of topic a device and its owner may say and hear at the broker, and how long a message may be. */
import { ownerCommandBytesMax, ownerConfigBytesMax, type TopicKind } from '@coldproof/wire';

/** A status is a few words, and so is an answer to the owner. */
const statusBytesMax = 1_024;
const answerBytesMax = 4_096;

/** Who says what of a device. A kind that is not here is the oracle's own. */
export const saidByDevice = new Set(['batch', 'live', 'status', 'config-report', 'reply']);
export const saidByOwner = new Set(['config', 'command']);
export const heardByDevice = new Set(['receipt', 'config', 'command']);
export const heardByOwner = new Set(['status', 'config', 'command', 'config-report', 'reply']);

export function bytesMaxOf(kind: TopicKind): number {
  if (kind === 'config') return ownerConfigBytesMax;
  if (kind === 'command') return ownerCommandBytesMax;
  return kind === 'status' ? statusBytesMax : answerBytesMax;
}
