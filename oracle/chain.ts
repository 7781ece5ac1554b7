/**
 * The port to the ledger, and the only file that imports ethers. What a development chain needs besides (deploy, send
 * as an account, set the time) is in development-chain.ts, built on this.
 *
 * ethers is used for what it is good at: ABI, keys, signing, JSON-RPC. Its NonceManager and `wait()` are not used:
 * the one leaves nonce gaps, the other holds state that a crash loses (transmit.ts does both from the store).
 */
import { loadArtifact } from '@coldproof/contracts';
import {
  FetchRequest,
  HDNodeWallet,
  Interface,
  JsonRpcProvider,
  Network,
  Wallet,
  encryptKeystoreJson,
  isError,
  keccak256,
  type BaseWallet,
  type ParamType,
} from 'ethers';
import { OperatingError, describeError } from './operating-error.ts';

/** 0x and 40 hex digits, with the checksum's capitals. */
export type Address = string;
/** 0x and 64 hex digits. */
export type Hash = string;

/** What the ABI gives: integers up to 48 bits as number, larger as bigint, bytes and addresses as 0x-hex. */
export type ChainValue = string | number | bigint | boolean | readonly ChainValue[] | ChainStruct;
export type ChainStruct = { readonly [field: string]: ChainValue };

/** A custom error that a contract reverted with. `name` is empty when there is none that we know. */
export type Revert = { readonly name: string; readonly args: ChainStruct; readonly message: string };

export type Called<Value> =
  { readonly ok: true; readonly value: Value } | { readonly ok: false; readonly revert: Revert };

export type Block = {
  readonly number: number;
  readonly hash: Hash;
  readonly timestampSec: number;
  readonly baseFeeWei: bigint;
};

export type ChainEvent = {
  readonly contract: string;
  readonly name: string;
  readonly args: ChainStruct;
  readonly blockNumber: number;
  readonly blockHash: Hash;
  readonly transactionHash: Hash;
  readonly logIndex: number;
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

export type SignedTransaction = { readonly raw: string; readonly hash: Hash };

export type UnsignedTransaction = {
  readonly to: Address | undefined;
  readonly calldata: string;
  readonly nonce: number;
  readonly gasMax: bigint;
  readonly feeWeiMax: bigint;
  readonly priorityFeeWei: bigint;
};

/**
 * How a node took a raw transaction. 'known' is as good as 'accepted'; at 'nonce-used' the sender must look for its
 * hashes, since one of them may be what used it.
 */
export type SendOutcome = 'accepted' | 'known' | 'nonce-used' | 'underpriced' | 'insufficient-funds';

/** Everything may throw OperatingError 'chain-unreachable' (retry later). The node may lie; transmit.ts assumes so. */
export type Chain = {
  readonly chainId: number;
  readonly contracts: Readonly<Record<string, Address>>;
  /** Throws 'chain-id-wrong' when the node is on another chain. To be asked at start and after each outage. */
  checkChainId(): Promise<void>;
  /** Undefined when there is no such block. */
  block(at: number | 'latest' | 'safe' | 'finalized'): Promise<Block | undefined>;
  /** Events of our contracts, both ends included, in the chain's order. */
  events(fromBlock: number, toBlock: number): Promise<ChainEvent[]>;
  view(contract: string, method: string, args: readonly unknown[], atBlock?: number): Promise<Called<ChainValue>>;
  /** Runs a call on the latest state without sending it; gives the gas it would use. */
  preflight(call: Call): Promise<Called<bigint>>;
  encode(contract: string, method: string, args: readonly unknown[]): string;
  nonce(account: Address, at: 'latest' | 'pending'): Promise<number>;
  balanceWei(account: Address): Promise<bigint>;
  priorityFeeWei(): Promise<bigint>;
  send(raw: string): Promise<SendOutcome>;
  receipt(hash: Hash): Promise<ChainReceipt | undefined>;
  close(): void;
};

/** An account that pays for transactions. It signs, it does not export its key. */
export type Transmitter = {
  readonly address: Address;
  sign(transaction: UnsignedTransaction, chainId: number): Promise<SignedTransaction>;
};

const requestTimeoutMs = 10_000;

export function openChain({
  rpcUrl,
  chainId,
  contracts,
}: {
  rpcUrl: string;
  chainId: number;
  contracts: Readonly<Record<string, Address>>;
}): Chain {
  const { provider, send } = openRpc(rpcUrl, chainId);
  const abis = new Map(Object.keys(contracts).map((name) => [name, new Abi(name)]));
  const named = new Map(Object.entries(contracts).map(([name, address]) => [address.toLowerCase(), name]));
  const abiOf = (contract: string): Abi => {
    const abi = abis.get(contract);
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
type RpcLog = {
  address: string;
  topics: string[];
  data: string;
  blockNumber: string;
  blockHash: string;
  transactionHash: string;
  logIndex: string;
};
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

/** One contract's ABI, from its artifact. */
export class Abi {
  readonly name: string;
  readonly #interface: Interface;
  readonly #bytecode: string;

  constructor(name: string) {
    const artifact = loadArtifact(name);
    this.name = name;
    this.#interface = Interface.from(JSON.stringify(artifact.abi));
    this.#bytecode = artifact.bytecode;
  }

  encode(method: string, args: readonly unknown[]): string {
    return this.#interface.encodeFunctionData(method, [...args]);
  }

  /** The first four bytes of a call, 0x-hex: how access managers name a method. */
  selector(method: string): string {
    const fragment = this.#interface.getFunction(method);
    if (fragment === null) throw new RangeError(`${this.name} has no method ${method}`);
    return fragment.selector;
  }

  /** Creation code with the constructor's arguments. */
  encodeDeploy(args: readonly unknown[]): string {
    return this.#bytecode + this.#interface.encodeDeploy([...args]).slice(2);
  }

  /** One output as it is, several as a struct by their names. */
  decode(method: string, returned: string): ChainValue {
    const fragment = this.#interface.getFunction(method);
    if (fragment === null) throw new RangeError(`${this.name} has no method ${method}`);
    const values = this.#interface.decodeFunctionResult(fragment, returned);
    const [only] = fragment.outputs;
    if (only !== undefined && fragment.outputs.length === 1) return plain(only, values[0]);
    return struct(fragment.outputs, values);
  }

  readLog(contract: string, log: RpcLog): ChainEvent | undefined {
    const parsed = this.#interface.parseLog({ topics: log.topics, data: log.data });
    if (parsed === null) return undefined;
    return {
      contract,
      name: parsed.name,
      args: struct(parsed.fragment.inputs, parsed.args),
      blockNumber: Number(log.blockNumber),
      blockHash: log.blockHash,
      transactionHash: log.transactionHash,
      logIndex: Number(log.logIndex),
    };
  }

  readError(revertBytes: string): Revert | undefined {
    const parsed = this.#interface.parseError(revertBytes);
    if (parsed === null) return undefined;
    const args = struct(parsed.fragment.inputs, parsed.args);
    return { name: parsed.name, args, message: `${parsed.name}(${Object.values(args).map(String).join(', ')})` };
  }
}

function struct(types: readonly ParamType[], values: ArrayLike<unknown>): ChainStruct {
  return Object.fromEntries(types.map((type, i) => [type.name === '' ? String(i) : type.name, plain(type, values[i])]));
}

/** ethers' Result, whose form depends on the call, as a value of the ABI's own form. */
function plain(type: ParamType, value: unknown): ChainValue {
  if (type.isArray() && Array.isArray(value)) return value.map((each) => plain(type.arrayChildren, each));
  if (type.isTuple() && Array.isArray(value)) return struct(type.components, value);
  if (typeof value === 'bigint') {
    const bits = Number(/\d+$/.exec(type.baseType)?.[0] ?? 256);
    return bits <= 48 ? Number(value) : value;
  }
  if (typeof value === 'string' || typeof value === 'boolean') return value;
  throw new TypeError(`${type.format('full')}: not a value of the ABI`);
}

function transmitterOf(wallet: BaseWallet): Transmitter {
  return {
    address: wallet.address,
    async sign({ to, calldata, nonce, gasMax, feeWeiMax, priorityFeeWei }, chainId) {
      const fees = { maxFeePerGas: feeWeiMax, maxPriorityFeePerGas: priorityFeeWei, gasLimit: gasMax };
      const raw = await wallet.signTransaction({ type: 2, chainId, to: to ?? null, data: calldata, nonce, ...fees });
      return { raw, hash: keccak256(raw) };
    },
  };
}

/** One of the accounts of a mnemonic phrase (BIP-44, m/44'/60'/0'/0/index): how development chains hand out money. */
export function accountOfPhrase(phrase: string, index: number): Transmitter {
  return transmitterOf(HDNodeWallet.fromPhrase(phrase, undefined, `m/44'/60'/0'/0/${index}`));
}

export function accountOfKey(privateKey: string): Transmitter {
  return transmitterOf(new Wallet(privateKey));
}

/**
 * The transmitter's key, from the text of its file: encrypted JSON (Web3 secret storage, needs the passphrase) or a
 * bare private key in hex.
 */
export async function readTransmitter(path: string, text: string, passphrase: string): Promise<Transmitter> {
  try {
    if (!text.startsWith('{')) return accountOfKey(text.trim());
    return transmitterOf(await Wallet.fromEncryptedJson(text, passphrase));
  } catch (error) {
    // ethers puts the value that it could not parse into its message: a key must not get into a log.
    throw new OperatingError('key-unusable', `transmitter key ${path}: ${shortReason(error)}`, { retry: 'never' });
  }
}

function shortReason(error: unknown): string {
  if (isError(error, 'INVALID_ARGUMENT')) return error.shortMessage;
  return error instanceof Error && 'code' in error ? String(error.code) : 'unreadable';
}

/** A new random key as encrypted JSON, with its address. scrypt at 2^15 opens in well under a second. */
export async function makeTransmitterKey(passphrase: string): Promise<{ address: Address; json: string }> {
  const { address, privateKey } = Wallet.createRandom();
  const json = await encryptKeystoreJson({ address, privateKey }, passphrase, { scrypt: { N: 1 << 15, r: 8, p: 1 } });
  return { address, json };
}
