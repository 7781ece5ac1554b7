/**
 * A contract's ABI, and the values that cross it.
 */
import {
  loadArtifact,
  type Artifact,
  type ArtifactName,
  type ErrorOf,
  type EventOf,
  type MethodOf,
} from '@coldproof/contracts';
import { Interface, type ParamType } from 'ethers';

/** 0x and 40 hex digits, with the checksum's capitals. */
export type Address = string;
/** 0x and 64 hex digits. */
export type Hash = string;

/** What the ABI gives: integers up to 48 bits as number, larger as bigint, bytes and addresses as 0x-hex. */
export type ChainValue = string | number | bigint | boolean | readonly ChainValue[] | ChainStruct;
export type ChainStruct = { readonly [field: string]: ChainValue };

/** Where the contracts that are used stand. */
export type Addresses = Readonly<Partial<Record<ArtifactName, Address>>>;

/** A custom error that a contract reverted with. `name` is empty when there is none that we know. */
export type Revert = {
  readonly name: ErrorOf<ArtifactName> | '';
  readonly args: ChainStruct;
  readonly message: string;
};

export type ChainEvent = {
  readonly contract: ArtifactName;
  readonly name: EventOf<ArtifactName>;
  readonly args: ChainStruct;
  readonly blockNumber: number;
  readonly blockHash: Hash;
  readonly transactionHash: Hash;
  readonly logIndex: number;
};

/** As JSON-RPC gives it. */
export type RpcLog = {
  address: string;
  topics: string[];
  data: string;
  blockNumber: string;
  blockHash: string;
  transactionHash: string;
  logIndex: string;
};

/** One contract's ABI, from its artifact. */
export class Abi<Name extends ArtifactName = ArtifactName> {
  readonly name: Name;
  readonly #interface: Interface;
  readonly #artifact: Artifact;

  constructor(name: Name) {
    this.name = name;
    this.#artifact = loadArtifact(name);
    this.#interface = Interface.from(JSON.stringify(this.#artifact.abi));
  }

  encode(method: MethodOf<Name>, args: readonly unknown[]): string {
    return this.#interface.encodeFunctionData(method, [...args]);
  }

  /** The first four bytes of a call, 0x-hex: how access managers name a method. */
  selector(method: MethodOf<Name>): string {
    const fragment = this.#interface.getFunction(method);
    if (fragment === null) throw new RangeError(`${this.name} has no method ${method}`);
    return fragment.selector;
  }

  /** Creation code with the constructor's arguments. */
  encodeDeploy(args: readonly unknown[]): string {
    return this.#artifact.bytecode + this.#interface.encodeDeploy([...args]).slice(2);
  }

  /** Is this code on chain, 0x-hex, this contract's, whatever its immutables are? */
  isCode(code: string): boolean {
    const { deployedCode, immutables } = this.#artifact;
    const [got, want] = [code, deployedCode].map((each) => Buffer.from(each.slice(2), 'hex')) as [Buffer, Buffer];
    for (const [start, length] of immutables) got.fill(0, start, start + length);
    return got.equals(want);
  }

  /** One output as it is, several as a struct by their names. */
  decode(method: MethodOf<Name>, returned: string): ChainValue {
    const fragment = this.#interface.getFunction(method);
    if (fragment === null) throw new RangeError(`${this.name} has no method ${method}`);
    const values = this.#interface.decodeFunctionResult(fragment, returned);
    const [only] = fragment.outputs;
    if (only !== undefined && fragment.outputs.length === 1) return plain(only, values[0]);
    return struct(fragment.outputs, values);
  }

  readLog(contract: ArtifactName, log: RpcLog): ChainEvent | undefined {
    const parsed = this.#interface.parseLog({ topics: log.topics, data: log.data });
    if (parsed === null) return undefined;
    return {
      contract,
      name: parsed.name as EventOf<Name>,
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
    const message = `${parsed.name}(${Object.values(args).map(String).join(', ')})`;
    return { name: parsed.name as ErrorOf<Name>, args, message };
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
