/** One account's transactions on a chain, one after the other, each waited for: nothing here is in a hurry. */
import { createHash } from 'node:crypto';
import type { ArtifactName, MethodOf } from '@coldproof/contracts';
import { Abi, type Address, type ChainValue } from '../chain-abi.ts';
import { creationAddress, type Transmitter } from '../chain-account.ts';
import { openChain, openRpc, type Chain } from '../chain.ts';
import { OperatingError } from '../operating-error.ts';

const minedMsMax = 10 * 60_000;
const pollMs = 50;

export class Ledger {
  readonly account: Address;
  readonly #transmitter: Transmitter;
  readonly #chain: Chain;
  readonly #rpc: ReturnType<typeof openRpc>;

  constructor(rpcUrl: string, chainId: number, transmitter: Transmitter) {
    this.account = transmitter.address;
    this.#transmitter = transmitter;
    this.#chain = openChain({ rpcUrls: [rpcUrl], chainId, contracts: {} });
    this.#rpc = openRpc(rpcUrl, chainId);
  }

  checkChainId(): Promise<void> {
    return this.#chain.checkChainId();
  }

  /** Undefined when nothing stands there; otherwise whether it is this contract, whatever its immutables are. */
  async isContract(name: ArtifactName, address: Address): Promise<boolean | undefined> {
    const code = await this.#rpc.send<string>('eth_getCode', [address, 'latest']);
    return code === '0x' ? undefined : new Abi(name).isCode(code);
  }

  selector<Name extends ArtifactName>(name: Name, method: MethodOf<Name>): string {
    return new Abi(name).selector(method);
  }

  /** What a contract is deployed from. */
  creation(name: ArtifactName, args: readonly unknown[]): { calldata: string; digest: string } {
    const calldata = new Abi(name).encodeDeploy(args);
    return { calldata, digest: createHash('sha256').update(calldata.slice(2), 'hex').digest('hex') };
  }

  /** Where the next contract of this account will stand, once all that it sent before is mined. */
  async nextAddress(): Promise<Address> {
    await this.#until('transactions of an earlier run', async () => {
      const [mined, sent] = await Promise.all([this.#nonce('latest'), this.#nonce('pending')]);
      return sent > mined ? undefined : true;
    });
    return creationAddress(this.account, await this.#nonce('latest'));
  }

  async create(calldata: string, what: string): Promise<void> {
    await this.#send(undefined, calldata, what);
  }

  async send<Name extends ArtifactName>(
    name: Name,
    to: Address,
    method: MethodOf<Name>,
    args: readonly unknown[],
  ): Promise<void> {
    await this.#send(to, new Abi(name).encode(method, args), `${name}.${method}`);
  }

  async view<Name extends ArtifactName>(
    name: Name,
    to: Address,
    method: MethodOf<Name>,
    args: readonly unknown[],
  ): Promise<ChainValue> {
    const abi = new Abi(name);
    const call = { to, data: abi.encode(method, args) };
    return abi.decode(method, await this.#rpc.send<string>('eth_call', [call, 'latest']));
  }

  close(): void {
    this.#chain.close();
    this.#rpc.close();
  }

  #nonce(at: 'latest' | 'pending'): Promise<number> {
    return this.#chain.nonce(this.account, at);
  }

  async #send(to: Address | undefined, calldata: string, what: string): Promise<void> {
    const call = { from: this.account, ...(to === undefined ? {} : { to }), data: calldata };
    const gas = BigInt(await this.#rpc.send<string>('eth_estimateGas', [call]));
    const fees = await this.#fees();
    const nonce = await this.#nonce('latest');
    const unsigned = { to, calldata, nonce, gasMax: gas + gas / 4n, ...fees };
    const { raw, hash } = await this.#transmitter.sign(unsigned, this.#chain.chainId);
    const outcome = await this.#chain.send(raw);
    if (outcome !== 'accepted' && outcome !== 'known') {
      throw new OperatingError('chain-unreachable', `${what}: not taken, ${outcome}`, { retry: 'later' });
    }
    const receipt = await this.#until(what, () => this.#chain.receipt(hash));
    if (!receipt.hasSucceeded) {
      throw new OperatingError('transaction-reverted', `${what} reverted in ${hash}`, { retry: 'never' });
    }
  }

  /** Nothing where gas is free. */
  async #fees(): Promise<{ feeWeiMax: bigint; priorityFeeWei: bigint }> {
    const block = await this.#chain.block('latest');
    const baseFeeWei = block?.baseFeeWei ?? 0n;
    const priorityFeeWei = baseFeeWei === 0n ? 0n : await this.#chain.priorityFeeWei();
    return { feeWeiMax: 2n * baseFeeWei + priorityFeeWei, priorityFeeWei };
  }

  async #until<Value>(what: string, look: () => Promise<Value | undefined>): Promise<Value> {
    const deadlineMs = Date.now() + minedMsMax;
    for (;;) {
      const found = await look();
      if (found !== undefined) return found;
      if (Date.now() > deadlineMs) {
        throw new OperatingError('chain-unreachable', `${what}: not mined in ${minedMsMax} ms`, { retry: 'later' });
      }
      await new Promise((resolve) => setTimeout(resolve, pollMs));
    }
  }
}
