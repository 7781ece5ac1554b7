/** What a contract's refusal means for an action. */
import type { Revert } from './chain-abi.ts';
import { orderStates } from './store-chain.ts';
import { endedStates } from './transmit-policy.ts';

/**
 * superseded: somebody else's transaction ended the order. later: it may yet be taken. fatal: the evidence is refused,
 * and a verdict is never made again. A refusal of the chain as it is now; a reorganisation may take it back.
 */
export function judgeRevert(revert: Revert): 'superseded' | 'later' | 'fatal' {
  if (revert.name === 'EvidenceAlreadyUsed') return 'superseded';
  if (revert.name === 'OrderStateNot') {
    const state = orderStates[Number(revert.args['got'])];
    if (state !== undefined && endedStates.includes(state)) return 'superseded';
    // A reorganisation took the dispatch back; it may come again.
    return state === 'None' || state === 'Placed' || state === 'Accepted' ? 'later' : 'fatal';
  }
  return revert.name === 'SampleInFuture' || revert.name === 'GasTooLow' || revert.name === '' ? 'later' : 'fatal';
}
