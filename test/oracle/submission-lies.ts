/** What the campaign's endpoints do instead of answering, and what they say that is not so. */
import type { Random } from '../helpers/seed.ts';
import type { Fate, RpcCall } from './faulty-rpc.ts';

export type BlockName = { readonly hash: string; readonly number: string };

type Lie = { readonly name: string; readonly fate: Fate };

/** Undefined where none is known that could be told. `old` is a block that was the newest one once. */
export function lieAbout({ method, params }: RpcCall, old: BlockName, random: Random): Lie | undefined {
  switch (method) {
    case 'eth_getTransactionReceipt':
      return random.pick([
        { name: 'no receipt', fate: { result: null } },
        { name: 'receipt of an old block', fate: { result: falseReceipt(String(params[0]), old) } },
        {
          name: 'receipt of nowhere',
          fate: { result: falseReceipt(String(params[0]), { ...old, hash: hash('ee') }) },
        },
        { name: 'receipt of another', fate: { result: falseReceipt(hash('dd'), old) } },
      ]);
    case 'eth_getTransactionCount': {
      const off = random.pick([-2, -1, 1, 2, 7]);
      const shift = (truth: unknown) => `0x${Math.max(0, Number(truth) + off).toString(16)}`;
      return { name: `nonce off by ${off}`, fate: { lie: shift } };
    }
    case 'eth_getBlockByNumber':
      return params[0] === 'latest'
        ? { name: 'old head', fate: { result: old } }
        : { name: 'no block', fate: { result: null } };
    case 'eth_chainId':
      return { name: 'another chain', fate: { result: '0x1' } };
    case 'eth_sendRawTransaction':
      return { name: 'taken, it says', fate: { result: hash('cc') } };
    case 'eth_getLogs': {
      const blocks = random.integer(1, 3);
      return { name: `${blocks} blocks behind`, fate: { lie: (logs) => withoutNewest(logs, params[0], blocks) } };
    }
    case 'eth_call':
    case 'eth_estimateGas':
      return { name: 'reverted, it says', fate: { error: 'execution reverted' } };
    default:
      return undefined;
  }
}

export const faults: readonly Fate[] = [
  ...(['lose-request', 'lose-request', 'lose-response', 'lose-response', 'late', 'twice', 'truncate'] as const),
  ...[{ status: 429 }, { status: 500 }, { error: 'internal error' }, { delayMs: 5 }, { delayMs: 30 }],
  'hang',
];

export const focuses = [
  'eth_sendRawTransaction',
  'eth_getTransactionReceipt',
  'eth_getTransactionCount',
  'eth_getBlockByNumber',
  'eth_estimateGas',
  'eth_call',
  'eth_getLogs',
] as const;

const hash = (byte: string) => `0x${byte.repeat(32)}`;

function falseReceipt(transactionHash: string, { hash: blockHash, number }: BlockName) {
  return { transactionHash, blockHash, blockNumber: number, status: '0x1', gasUsed: '0x5208', logs: [] };
}

/** What a node says that does not have the newest blocks of the range yet. */
function withoutNewest(logs: unknown, filter: unknown, blocks: number): unknown {
  const last = Number((filter as { toBlock: string }).toBlock) - blocks;
  return (logs as { blockNumber: string }[]).filter(({ blockNumber }) => Number(blockNumber) <= last);
}
