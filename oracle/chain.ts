/**
 * The port to the ledger. This file, chain-abi.ts and chain-account.ts alone import ethers. What a development chain
 * needs besides (deploy, send as an account, set the time) is in development-chain.ts, built on this.
 *
 * ethers is used for what it is good at: ABI, keys, signing, JSON-RPC. Its NonceManager and `wait()` are not used:
 * the one leaves nonce gaps, the other holds state that a crash loses (transmit.ts does both from the store).
 */
import type { ArtifactName, MethodOf } from '@coldproof/contracts';
import { FetchRequest, JsonRpcProvider, Network, isError } from 'ethers';
import {
  Abi,
  type Address,
  type Addresses,
  type ChainEvent,
  type ChainValue,
  type Hash,
  type Revert,
  type RpcLog,
} from './chain-abi.ts';
import { OperatingError, describeError } from './operating-error.ts';

export type Called<Value> =
  { readonly ok: true; readonly value: Value } | { readonly ok: false; readonly revert: Revert };

export type Block = {
  readonly number: number;
  readonly hash: Hash;
  readonly timestampSec: number;
  readonly baseFeeWei: bigint;
};

export type ChainReceipt = {
  readonly transactionHash: Hash;
  readonly blockNumber: number;
  readonly blockHash: Hash;
  readonly hasSucceeded: boolean;
  readonly gasUsed: number;
  /** Of the contracts whose ABI is known. */
  readonly events: readonly ChainEvent[];
};

export type Call = { readonly from?: Address; readonly to: Address; readonly calldata: string };

/**
 * How a node took a raw transaction. 'known' is as good as 'accepted'; at 'nonce-used' the sender must look for its
 * hashes, since one of them may be what used it.
 */
export type SendOutcome = 'accepted' | 'known' | 'nonce-used' | 'underpriced' | 'insufficient-funds';

/** Everything may throw OperatingError 'chain-unreachable' (retry later). The node may lie; transmit.ts assumes so. */
export type Chain = {
  readonly chainId: number;
  readonly contracts: Addresses;
  /** Throws 'chain-id-wrong' when the node is on another chain. To be asked at start and after each outage. */
  checkChainId(): Promise<void>;
  /** Undefined when there is no such block. */
  block(at: number | 'latest' | 'safe' | 'finalized'): Promise<Block | undefined>;
  /** Events of our contracts, both ends included, in the chain's order. */
  events(fromBlock: number, toBlock: number): Promise<ChainEvent[]>;
  view<Name extends ArtifactName>(
    contract: Name,
    method: MethodOf<Name>,
    args: readonly unknown[],
    atBlock?: number,
  ): Promise<Called<ChainValue>>;
  /** Runs a call on the latest state without sending it; gives the gas it would use. */
  preflight(call: Call): Promise<Called<bigint>>;
  encode<Name extends ArtifactName>(contract: Name, method: MethodOf<Name>, args: readonly unknown[]): string;
  nonce(account: Address, at: 'latest' | 'pending'): Promise<number>;
  balanceWei(account: Address): Promise<bigint>;
  priorityFeeWei(): Promise<bigint>;
  send(raw: string): Promise<SendOutcome>;
  receipt(hash: Hash): Promise<ChainReceipt | undefined>;
  close(): void;
};

const requestTimeoutMs = 10_000;

export function openChain({
  rpcUrl,
  chainId,
  contracts,
}: {
  rpcUrl: string;
  chainId: number;
  contracts: Addresses;
}): Chain {
  const { provider, send } = openRpc(rpcUrl, chainId);
  const entries = Object.entries(contracts) as [ArtifactName, Address][];
  const abis = new Map(entries.map(([name]) => [name, new Abi(name)]));
  const named = new Map(entries.map(([name, address]) => [address.toLowerCase(), name]));
  const abiOf = <Name extends ArtifactName>(contract: Name): Abi<Name> => {
    // By construction the ABI at a name is of that name.
    const abi = abis.get(contract) as Abi<Name> | undefined;
    if (abi === undefined)
      throw new RangeError(`contract: expected one of ${[...abis.keys()].join(', ')}, got ${contract}`);
    return abi;
  };
  const readLog = (log: RpcLog): ChainEvent | undefined => {
    const contract = named.get(log.address.toLowerCase());
    return contract === undefined ? undefined : abiOf(contract).readLog(contract, log);
  };
  const revertOf = (error: unknown): Revert => readRevert(error, [...abis.values()]);
  return {
    chainId,
    contracts,
    async checkChainId() {
      const got = Number(await send<string>('eth_chainId', []));
      if (got === chainId) return;
      const message = `chain ${rpcUrl}: expected chain id ${chainId}, got ${got}`;
      throw new OperatingError('chain-id-wrong', message, { retry: 'never' });
    },
    async block(at) {
      const tag = typeof at === 'number' ? `0x${at.toString(16)}` : at;
      const found = await send<RpcBlock | null>('eth_getBlockByNumber', [tag, false]);
      return found === null ? undefined : readBlock(found);
    },
    async events(fromBlock, toBlock) {
      const range = { fromBlock: `0x${fromBlock.toString(16)}`, toBlock: `0x${toBlock.toString(16)}` };
      const logs = await send<RpcLog[]>('eth_getLogs', [{ address: Object.values(contracts), ...range }]);
      return logs.map(readLog).filter((event) => event !== undefined);
    },
    async view(contract, method, args, atBlock) {
      const abi = abiOf(contract);
      const call = { to: contracts[contract]!, data: abi.encode(method, args) };
      return called(
        async () => abi.decode(method, await provider.call({ ...call, blockTag: atBlock ?? 'latest' })),
        revertOf,
      );
    },
    preflight: ({ from, to, calldata }) =>
      called(() => provider.estimateGas({ from: from ?? null, to, data: calldata }), revertOf),
    encode: (contract, method, args) => abiOf(contract).encode(method, args),
    nonce: async (account, at) => Number(await send<string>('eth_getTransactionCount', [account, at])),
    balanceWei: async (account) => BigInt(await send<string>('eth_getBalance', [account, 'latest'])),
    priorityFeeWei: async () => BigInt(await send<string>('eth_maxPriorityFeePerGas', [])),
    send: (raw) => sendRaw(provider, raw),
    async receipt(hash) {
      const found = await send<RpcReceipt | null>('eth_getTransactionReceipt', [hash]);
      return found === null ? undefined : readReceipt(found, readLog);
    },
    close: () => provider.destroy(),
  };
}

/** The raw JSON-RPC of one endpoint, for a chain of known id. */
export function openRpc(rpcUrl: string, chainId: number) {
  const request = new FetchRequest(rpcUrl);
  request.timeout = requestTimeoutMs;
  // One try: the loops that call have their own pace, and a hidden retry would blur what was sent when.
  request.setThrottleParams({ maxAttempts: 1 });
  const network = Network.from(chainId);
  const options = { staticNetwork: network, cacheTimeout: -1, batchMaxCount: 1 };
  const provider = new JsonRpcProvider(request, network, options);
  const send = async <Answer>(method: string, params: readonly unknown[]): Promise<Answer> => {
    try {
      // The JSON-RPC standard names the form of the answer; a node that breaks it makes the readers below throw.
      return (await provider.send(method, [...params])) as Answer;
    } catch (error) {
      throw unreachable(`${method} at ${rpcUrl}`, error);
    }
  };
  return { provider, send };
}

async function called<Value>(run: () => Promise<Value>, revertOf: (error: unknown) => Revert): Promise<Called<Value>> {
  try {
    return { ok: true, value: await run() };
  } catch (error) {
    if (isError(error, 'CALL_EXCEPTION')) return { ok: false, revert: revertOf(error) };
    throw unreachable('call', error);
  }
}

async function sendRaw(provider: JsonRpcProvider, raw: string): Promise<SendOutcome> {
  try {
    await provider.send('eth_sendRawTransaction', [raw]);
    return 'accepted';
  } catch (error) {
    // Nodes agree on these words only roughly; what matches none of them is retried as an unknown fault.
    const text = `${describeError(error)} ${infoOf(error)}`.toLowerCase();
    if (/already known|already imported|known transaction/.test(text)) return 'known';
    if (/nonce too low|nonce.*(already|expired)|nonce_expired/.test(text)) return 'nonce-used';
    if (/underpriced|max fee per gas less than block base fee|fee too low/.test(text)) return 'underpriced';
    if (/insufficient funds/.test(text)) return 'insufficient-funds';
    throw unreachable('eth_sendRawTransaction', error);
  }
}

function infoOf(error: unknown): string {
  return typeof error === 'object' && error !== null && 'info' in error ? JSON.stringify(error.info) : '';
}

function unreachable(what: string, cause: unknown): OperatingError {
  return new OperatingError('chain-unreachable', `${what} failed: ${describeError(cause)}`, { retry: 'later', cause });
}

function readRevert(error: unknown, abis: readonly Abi[]): Revert {
  const revertBytes = isError(error, 'CALL_EXCEPTION') ? (error.data ?? '0x') : '0x';
  for (const abi of abis) {
    const revert = abi.readError(revertBytes);
    if (revert !== undefined) return revert;
  }
  return { name: '', args: {}, message: `reverted with ${revertBytes}: ${describeError(error)}` };
}

type RpcBlock = { number: string; hash: string; timestamp: string; baseFeePerGas?: string };
type RpcReceipt = {
  transactionHash: string;
  blockNumber: string;
  blockHash: string;
  status: string;
  gasUsed: string;
  logs: RpcLog[];
  contractAddress: string | null;
};

function readBlock({ number, hash, timestamp, baseFeePerGas }: RpcBlock): Block {
  return { number: Number(number), hash, timestampSec: Number(timestamp), baseFeeWei: BigInt(baseFeePerGas ?? '0x0') };
}

export function readReceipt(found: RpcReceipt, readLog: (log: RpcLog) => ChainEvent | undefined): ChainReceipt {
  return {
    transactionHash: found.transactionHash,
    blockNumber: Number(found.blockNumber),
    blockHash: found.blockHash,
    hasSucceeded: BigInt(found.status) === 1n,
    gasUsed: Number(found.gasUsed),
    events: found.logs.map(readLog).filter((event) => event !== undefined),
  };
}
