/** What the contracts' refusals mean for a report or a head that a quorum signed. */
import { hexToBytes } from '@coldproof/wire';
import type { Chain } from './chain.ts';
import type { Revert } from './chain-abi.ts';
import { openQuorumChain } from './chain-report.ts';
import type { QuorumRecord } from './store-outbox.ts';

/**
 * superseded: another node's transaction did it. later: a bond is missing, another assertion is live, or what reverted
 * is not known here. fatal: these bytes will never do; the network has them signed anew when there is reason to.
 */
export function judgeQuorumRevert({ name }: Revert): 'superseded' | 'later' | 'fatal' {
  if (name === 'SequenceNotForward' || name === 'HeadNotLarger' || name === 'OrderNotOpen') return 'superseded';
  return deadly.has(name) ? 'fatal' : 'later';
}

const deadly: ReadonlySet<string> = new Set([
  'ConsumerNot',
  'CryptletNotBound',
  'DisputesNot',
  'HeadInconsistent',
  'ReportExpired',
  'SignatureCountNot',
  'SignatureNotLowS',
  'SignatureSizeNot',
  'SignatureUnrecoverable',
  'SignerUnknown',
  'SignersNotAscending',
]);

/** The final chain has the effect, whoever sent it: no reorganisation brings it back. */
export async function isUsedForGood(record: QuorumRecord, chain: Chain): Promise<boolean> {
  const final = await chain.block('finalized');
  if (final === undefined) return false;
  const quorum = openQuorumChain(chain);
  if (record.contract === 'Disputes') return (await quorum.sequenceOf(record, final.number)) >= record.sequence;
  return (await quorum.anchored(hexToBytes(record.log), final.number)).size >= record.size;
}
