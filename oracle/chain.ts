/**
 * The port to the ledger. This file, chain-abi.ts and chain-account.ts alone import ethers. What a development chain
 * needs besides (deploy, send as an account, set the time) is in development-chain.ts, built on this.
 *
 * ethers is used for what it is good at: ABI, keys, signing, JSON-RPC. Its NonceManager and `wait()` are not used:
 * the one leaves nonce gaps, the other holds state that a crash loses (transmit.ts does both from the store).
 */
import type { ArtifactName, MethodOf } from '@coldproof/contracts';
import { isError } from 'ethers';
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
import {
  ChainEndpoints,
  RpcRefusal,
  type EndpointHealth,
  type EndpointSettings,
  type SendOutcome,
} from './chain-endpoints.ts';
import { isCredible, type RpcReceipt } from './chain-receipt.ts';
import { silent, type Log } from './log-line.ts';
import { OperatingError, describeError } from './operating-error.ts';

export type { EndpointHealth, SendOutcome } from './chain-endpoints.ts';

export type Called<Value> =
  | { readonly ok: true; readonly value: Value }
  | { readonly ok: false; readonly revert: Revert };

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
  /** All of it: gas used, at what a unit of it has cost. */
  readonly spentWei: bigint;
  /** Of the contracts whose ABI is known. */
  readonly events: readonly ChainEvent[];
};

export type Call = { readonly from?: Address; readonly to: Address; readonly calldata: string };

/** Everything may throw OperatingError 'chain-unreachable' (retry later). The node may lie; transmit.ts assumes so. */
export type Chain = {
  readonly chainId: number;
  readonly contracts: Addresses;
  /** Throws 'chain-id-wrong' when all endpoints are on another chain. To be asked at start and after each outage. */
  checkChainId(): Promise<void>;
  /** Rises when another endpoint answers than before: what was read before and after may be of two branches. */
  endpointChanges(): number;
  endpoints(): readonly EndpointHealth[];
  /** Undefined when there is no such block. 'safe' and 'finalized' by depth where `finalityBlocks` is given. */
  block(at: number | 'latest' | 'safe' | 'finalized'): Promise<Block | undefined>;
  /** Events of our contracts, both ends included, in the chain's order; only those `wanted`, the others unread. */
  events(
    fromBlock: number,
    toBlock: number,
    wanted?: (blockNumber: number, logIndex: number) => boolean,
  ): Promise<ChainEvent[]>;
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
  /** Only when the transaction is in a block of the chain as it is now, as far as the endpoints agree. */
  receipt(hash: Hash): Promise<ChainReceipt | undefined>;
  close(): void;
};

export type ChainSettings = EndpointSettings & {
  readonly contracts: Addresses;
  /** For chains whose nodes know no 'safe' and 'finalized': a block under so many others counts as final. */
  readonly finalityBlocks?: number | undefined;
};

export function openChain({ contracts, finalityBlocks, log = silent, ...settings }: ChainSettings): Chain {
  const { chainId } = settings;
  const endpoints = new ChainEndpoints({ ...settings, log });
  const send = <Answer>(method: string, params: readonly unknown[]) => endpoints.send<Answer>(method, params);
  const blockAt = async (at: number | string): Promise<Block | undefined> => {
    const tag = typeof at === 'number' ? `0x${at.toString(16)}` : at;
    const found = await send<RpcBlock | null>('eth_getBlockByNumber', [tag, false]);
    return found === null ? undefined : readBlock(found);
  };
  const finalBlock = finalityReader(blockAt, { finalityBlocks, log });
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
    checkChainId: () => endpoints.checkChainId(),
    endpointChanges: () => endpoints.changes,
    endpoints: () => endpoints.health(),
    block: (at) => (at === 'safe' || at === 'finalized' ? finalBlock(at) : blockAt(at)),
    async events(fromBlock, toBlock, wanted = () => true) {
      const range = { fromBlock: `0x${fromBlock.toString(16)}`, toBlock: `0x${toBlock.toString(16)}` };
      const logs = await send<RpcLog[]>('eth_getLogs', [{ address: Object.values(contracts), ...range }]);
      const ours = logs.filter(({ blockNumber, logIndex }) => wanted(Number(blockNumber), Number(logIndex)));
      return ours.map(readLog).filter((event) => event !== undefined);
    },
    async view(contract, method, args, atBlock) {
      const abi = abiOf(contract);
      const call = { to: contracts[contract]!, data: abi.encode(method, args) };
      return called(
        async () => abi.decode(method, await endpoints.provider.call({ ...call, blockTag: atBlock ?? 'latest' })),
        revertOf,
      );
    },
    preflight: ({ from, to, calldata }) =>
      called(() => endpoints.provider.estimateGas({ from: from ?? null, to, data: calldata }), revertOf),
    encode: (contract, method, args) => abiOf(contract).encode(method, args),
    nonce: async (account, at) => Number(await send<string>('eth_getTransactionCount', [account, at])),
    balanceWei: async (account) => BigInt(await send<string>('eth_getBalance', [account, 'latest'])),
    priorityFeeWei: async () => BigInt(await send<string>('eth_maxPriorityFeePerGas', [])),
    send: (raw) => endpoints.sendRaw(raw),
    async receipt(hash) {
      const found = await send<RpcReceipt | null>('eth_getTransactionReceipt', [hash]);
      if (found === null) return undefined;
      const verdict = await isCredible(found, hash, endpoints);
      if (verdict.ok) return readReceipt(found, readLog);
      log('warn', 'receipt-not-believed', { hash, reason: verdict.reason, detail: verdict.detail });
      return undefined;
    },
    close: () => endpoints.close(),
  };
}

/** Safe and final blocks: by the nodes' tags, or by depth where that is configured. */
function finalityReader(
  blockAt: (at: number | string) => Promise<Block | undefined>,
  { finalityBlocks, log }: { finalityBlocks: number | undefined; log: Log },
): (tag: 'safe' | 'finalized') => Promise<Block | undefined> {
  let hasTags = true;
  return async (tag) => {
    if (finalityBlocks !== undefined) {
      const latest = await blockAt('latest');
      return latest === undefined ? undefined : blockAt(Math.max(0, latest.number - finalityBlocks));
    }
    try {
      return await blockAt(tag);
    } catch (error) {
      // Nodes of chains without finality, and young chains, refuse the tag: nothing is final then.
      if (!(error instanceof OperatingError && error.cause instanceof RpcRefusal)) throw error;
      const fields = { tag, error: describeError(error), instead: 'chain.finalityBlocks' };
      if (hasTags) log('warn', 'finality-unknown', fields);
      hasTags = false;
      return undefined;
    }
  };
}

/** The raw JSON-RPC of one endpoint, for a chain of known id. */
export function openRpc(rpcUrl: string, chainId: number) {
  const endpoints = new ChainEndpoints({ rpcUrls: [rpcUrl], chainId });
  const send = <Answer>(method: string, params: readonly unknown[]) => endpoints.send<Answer>(method, params);
  return { provider: endpoints.provider, send, close: () => endpoints.close() };
}

async function called<Value>(run: () => Promise<Value>, revertOf: (error: unknown) => Revert): Promise<Called<Value>> {
  try {
    return { ok: true, value: await run() };
  } catch (error) {
    if (isError(error, 'CALL_EXCEPTION')) return { ok: false, revert: revertOf(error) };
    throw unreachable('call', error);
  }
}

function unreachable(what: string, cause: unknown): OperatingError {
  return new OperatingError('chain-unreachable', `${what} failed: ${describeError(cause)}`, { retry: 'later', cause });
}

function readRevert(error: unknown, abis: readonly Abi[]): Revert {
  const revertBytes = isError(error, 'CALL_EXCEPTION') ? (error.data ?? '0x') : '0x';
  // A contract may revert without a word, as may a node that says so itself; four bytes name an error.
  for (const abi of revertBytes.length < 10 ? [] : abis) {
    const revert = abi.readError(revertBytes);
    if (revert !== undefined) return revert;
  }
  return { name: '', args: {}, message: `reverted with ${revertBytes}: ${describeError(error)}` };
}

type RpcBlock = { number: string; hash: string; timestamp: string; baseFeePerGas?: string };
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
    spentWei: BigInt(found.gasUsed) * BigInt(found.effectiveGasPrice ?? '0x0'),
    events: found.logs.map(readLog).filter((event) => event !== undefined),
  };
}
