/** The keys of a consortium's oracles, and what they sign: EIP-712 as ethers has it, not as our contracts do. */
import { id, Signature, TypedDataEncoder, Wallet, type Contract, type JsonRpcSigner } from 'ethers';
import { addressOf, call, deploy, type Chain } from '../helpers/chain.ts';

export type Report = {
  readonly cryptlet: string;
  readonly consumer: string;
  readonly subject: bigint;
  readonly sequence: bigint;
  readonly deadline: number;
  readonly payload: string;
};

export type Checkpoint = { readonly origin: string; readonly size: bigint; readonly root: string };

export type Config = {
  readonly digest: string;
  readonly count: bigint;
  readonly f: bigint;
  readonly signers: readonly string[];
};

const reportType = {
  Report: [
    { name: 'config', type: 'bytes32' },
    { name: 'cryptlet', type: 'bytes32' },
    { name: 'consumer', type: 'address' },
    { name: 'subject', type: 'uint256' },
    { name: 'sequence', type: 'uint64' },
    { name: 'deadline', type: 'uint32' },
    { name: 'payload', type: 'bytes' },
  ],
};
const checkpointType = {
  Checkpoint: [
    { name: 'config', type: 'bytes32' },
    { name: 'origin', type: 'bytes32' },
    { name: 'size', type: 'uint64' },
    { name: 'root', type: 'bytes32' },
  ],
};

export type Domain = { name: string; version: string; chainId: number; verifyingContract: string };

/** The order of secp256k1's group: (r, n - s) is the other signature of the same message. */
const groupOrder = 0xfffffffffffffffffffffffffffffffebaaedce6af48a03bbfd25e8cd0364141n;

/** Keys of the test's own, in the order that a quorum wants, and so is any part of them. */
export function oracleKeys(count: number, seed = 'oracle'): Wallet[] {
  return inOrder(Array.from({ length: count }, (_, i) => new Wallet(id(`${seed} ${i}`))));
}

/** By address, ascending. */
export function inOrder(keys: readonly Wallet[]): Wallet[] {
  return [...keys].sort((a, b) => (BigInt(a.address) < BigInt(b.address) ? -1 : 1));
}

export const addressesOf = (keys: readonly Wallet[]): string[] => keys.map((key) => key.address);

export class OracleSigners {
  readonly chain: Chain;
  readonly contract: Contract;
  readonly keys: readonly Wallet[];

  constructor(chain: Chain, contract: Contract, keys: readonly Wallet[]) {
    this.chain = chain;
    this.contract = contract;
    this.keys = keys;
  }

  /** An OracleSet of 3f + 1 signers, with an AccessManager whose admin is the deployer. */
  static async deploy(chain: Chain, deployer: JsonRpcSigner, f = 1): Promise<OracleSigners> {
    const manager = await deploy(deployer, 'AccessManager', [deployer.address]);
    const keys = oracleKeys(3 * f + 1);
    return new OracleSigners(chain, await deploy(deployer, 'OracleSet', [manager.target, addressesOf(keys), f]), keys);
  }

  get domain(): Domain {
    const verifyingContract = addressOf(this.contract);
    return { name: 'Coldproof', version: '1', chainId: this.chain.chainId, verifyingContract };
  }

  async config(): Promise<Config> {
    const view = (await call(this.contract, 'config')) as { toObject(deep: boolean): Config };
    return view.toObject(true);
  }

  /** By the keys at `indexes`, the first f + 1 unless told otherwise. */
  async sign(
    report: Report,
    { indexes, domain = {}, config }: { indexes?: readonly number[]; domain?: Partial<Domain>; config?: string } = {},
  ): Promise<string[]> {
    const { digest, f } = await this.config();
    const message = { config: config ?? digest, ...report };
    const whole = { ...this.domain, ...domain };
    return Promise.all(this.#pick(f, indexes).map((key) => key.signTypedData(whole, reportType, message)));
  }

  async signCheckpoint(checkpoint: Checkpoint, indexes?: readonly number[]): Promise<string[]> {
    const { digest: config, f } = await this.config();
    const message = { config, ...checkpoint };
    return Promise.all(this.#pick(f, indexes).map((key) => key.signTypedData(this.domain, checkpointType, message)));
  }

  async digestReport(report: Report): Promise<string> {
    const { digest: config } = await this.config();
    return TypedDataEncoder.hash(this.domain, reportType, { config, ...report });
  }

  async digestCheckpoint(checkpoint: Checkpoint): Promise<string> {
    const { digest: config } = await this.config();
    return TypedDataEncoder.hash(this.domain, checkpointType, { config, ...checkpoint });
  }

  #pick(f: bigint, indexes?: readonly number[]): Wallet[] {
    return (indexes ?? Array.from({ length: Number(f) + 1 }, (_, i) => i)).map((index) => this.keys[index]!);
  }
}

/** The other signature that the same key makes of the same message by arithmetic alone. */
export function upperTwin(signature: string): string {
  const { r, s, v } = Signature.from(signature);
  const twin = (groupOrder - BigInt(s)).toString(16).padStart(64, '0');
  return `0x${r.slice(2)}${twin}${(v === 27 ? 28 : 27).toString(16)}`;
}
