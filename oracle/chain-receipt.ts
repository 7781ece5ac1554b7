/**
 * What a receipt has to show before it is believed. A node that lags, was restored, or lies may give the receipt of a
 * block that is no longer in the chain, or never was.
 */
import { accept, reject, type Verdict } from '@coldproof/wire';
import type { Hash, RpcLog } from './chain-abi.ts';
import type { ChainEndpoints } from './chain-endpoints.ts';

export type RpcReceipt = {
  transactionHash: string;
  blockNumber: string;
  blockHash: string;
  status: string;
  gasUsed: string;
  /** Absent at nodes from before EIP-1559. */
  effectiveGasPrice?: string;
  logs: RpcLog[];
  contractAddress: string | null;
};

export type ReceiptReason =
  /** It is of another transaction than was asked for. */
  | 'receipt-of-another'
  /** The block at its height has another hash: it was reorganised, or never there. */
  | 'block-not-in-chain'
  /** That block does not hold the transaction. */
  | 'block-without-it'
  /** Another endpoint has another block at that height. */
  | 'endpoints-disagree';

type ListedBlock = { hash: string; transactions: readonly string[] } | null;

export async function isCredible(
  { transactionHash, blockNumber, blockHash }: RpcReceipt,
  hash: Hash,
  endpoints: Pick<ChainEndpoints, 'send' | 'second'>,
): Promise<Verdict<true, ReceiptReason>> {
  if (transactionHash !== hash) return reject('receipt-of-another', `transactionHash: ${transactionHash}`);
  const at = [blockNumber, false] as const;
  const block = await endpoints.send<ListedBlock>('eth_getBlockByNumber', at);
  const place = `block ${Number(blockNumber)}`;
  if (block?.hash !== blockHash) {
    return reject('block-not-in-chain', `${place}: receipt says ${blockHash}, chain ${block?.hash ?? 'nothing'}`);
  }
  if (!block.transactions.includes(hash)) return reject('block-without-it', `${place}, ${blockHash}`);
  // One that has not come so far can't contradict.
  const second = (await endpoints.second<ListedBlock>('eth_getBlockByNumber', at)) ?? undefined;
  if (second === undefined || second.hash === blockHash) return accept(true);
  return reject('endpoints-disagree', `${place}: ${blockHash} and ${second.hash}`);
}
