/**
 * What a demonstration or a test does to a development chain, as the people around an order would: deploy, place,
 * dispatch, pay, and set the clock. One account sends one transaction at a time and waits for it.
 */
import type { ArtifactName, MethodOf } from '@coldproof/contracts';
import { openRpc, readReceipt, type ChainReceipt } from './chain.ts';
import { Abi, type Address, type ChainEvent, type ChainValue } from './chain-abi.ts';
import { accountOfKey, accountOfPhrase, type Signatory, type Transmitter } from './chain-account.ts';
import { OperatingError } from './operating-error.ts';

/** The phrase that anvil and its like hand out money to when nothing else is asked for. Worthless anywhere else. */
export const developmentPhrase = 'test test test test test test test test test test test junk';

/** Larger than any call here needs, well under a block's. With a fixed limit there is no estimate to ask for. */
const gasMax = 12_000_000n;
const minedMsMax = 30_000;

export type DeployedContract<Name extends ArtifactName = ArtifactName> = {
  readonly name: Name;
  readonly address: Address;
};

export class DevelopmentChain {
  readonly rpcUrl: string;
  readonly chainId: number;
  readonly #rpc: ReturnType<typeof openRpc>;
  readonly #abis = new Map<ArtifactName, Abi>();
  readonly #named = new Map<string, ArtifactName>();

  constructor(rpcUrl: string, chainId = 31_337) {
    this.rpcUrl = rpcUrl;
    this.chainId = chainId;
    this.#rpc = openRpc(rpcUrl, chainId);
  }

  /** Resolves when the chain answers, for a chain that was just started; throws after `msMax`. */
  async ready(msMax = 20_000): Promise<void> {
    const deadline = Date.now() + msMax;
    for (;;) {
      try {
        await this.#rpc.send('eth_chainId', []);
        return;
      } catch (error) {
        if (Date.now() > deadline) throw error;
        await new Promise((resolve) => setTimeout(resolve, 50));
      }
    }
  }

  /** Account `index` of the development phrase, which has money from the start. */
  account(index: number): Transmitter & Signatory {
    return accountOfPhrase(developmentPhrase, index);
  }

  accountOf(privateKey: string): Transmitter {
    return accountOfKey(privateKey);
  }

  async deploy<Name extends ArtifactName>(
    by: Transmitter,
    name: Name,
    args: readonly unknown[] = [],
  ): Promise<DeployedContract<Name>> {
    const { receipt, contractAddress } = await this.#send(
      by,
      undefined,
      this.#abi(name).encodeDeploy(args),
      `deploy ${name}`,
    );
    if (contractAddress === null) throw new Error(`deploy ${name}: no address in ${receipt.transactionHash}`);
    return this.attach(name, contractAddress);
  }

  /** A contract that stands already; its events are decoded from now on. */
  attach<Name extends ArtifactName>(name: Name, address: Address): DeployedContract<Name> {
    this.#named.set(address.toLowerCase(), name);
    return { name, address };
  }

  /** Throws OperatingError 'transaction-reverted' with the decoded custom error. */
  async sendAs<Name extends ArtifactName>(
    by: Transmitter,
    contract: DeployedContract<Name>,
    method: MethodOf<Name>,
    args: readonly unknown[] = [],
  ): Promise<ChainReceipt> {
    const calldata = this.#abi(contract.name).encode(method, args);
    const { receipt } = await this.#send(by, contract.address, calldata, `${contract.name}.${method}`);
    return receipt;
  }

  selector<Name extends ArtifactName>(contract: DeployedContract<Name>, method: MethodOf<Name>): string {
    return this.#abi(contract.name).selector(method);
  }

  async view<Name extends ArtifactName>(
    contract: DeployedContract<Name>,
    method: MethodOf<Name>,
    args: readonly unknown[] = [],
  ): Promise<ChainValue> {
    const abi = this.#abi(contract.name);
    const call = { to: contract.address, data: abi.encode(method, args) };
    return abi.decode(method, await this.#rpc.send<string>('eth_call', [call, 'latest']));
  }

  /** In the token's smallest unit. */
  async tokenBalance(token: DeployedContract<'TestToken'>, account: Address): Promise<bigint> {
    const balance = await this.view(token, 'balanceOf', [account]);
    if (typeof balance !== 'bigint') throw new TypeError('balanceOf: expected a number');
    return balance;
  }

  async weiBalance(account: Address): Promise<bigint> {
    return BigInt(await this.#rpc.send<string>('eth_getBalance', [account, 'latest']));
  }

  async setWeiBalance(account: Address, wei: bigint): Promise<void> {
    await this.#rpc.send('anvil_setBalance', [account, `0x${wei.toString(16)}`]);
  }

  async blockNumber(): Promise<number> {
    return Number(await this.#rpc.send<string>('eth_blockNumber', []));
  }

  /** Of the latest block. */
  async nowSec(): Promise<number> {
    const block = await this.#rpc.send<{ timestamp: string }>('eth_getBlockByNumber', ['latest', false]);
    return Number(block.timestamp);
  }

  /** The next block gets this time. A time that is not after the latest block's is left alone: chains run forward. */
  async setNextTime(timeSec: number): Promise<void> {
    if (timeSec <= (await this.nowSec())) return;
    await this.#rpc.send('evm_setNextBlockTimestamp', [timeSec]);
  }

  /** Mines one block, at `timeSec` when that is after the latest block's. */
  async mine(timeSec?: number): Promise<void> {
    if (timeSec !== undefined) await this.setNextTime(timeSec);
    await this.#rpc.send('evm_mine', []);
  }

  /** Any other JSON-RPC method, such as evm_snapshot and evm_revert. */
  request<Answer>(method: string, params: readonly unknown[] = []): Promise<Answer> {
    return this.#rpc.send<Answer>(method, params);
  }

  close(): void {
    this.#rpc.close();
  }

  #abi<Name extends ArtifactName>(name: Name): Abi<Name> {
    const abi = (this.#abis.get(name) as Abi<Name> | undefined) ?? new Abi(name);
    this.#abis.set(name, abi);
    return abi;
  }

  async #send(by: Transmitter, to: Address | undefined, calldata: string, what: string) {
    const nonce = Number(await this.#rpc.send<string>('eth_getTransactionCount', [by.address, 'pending']));
    const block = await this.#rpc.send<{ baseFeePerGas?: string }>('eth_getBlockByNumber', ['latest', false]);
    const priorityFeeWei = 1_000_000_000n;
    const feeWeiMax = 2n * BigInt(block.baseFeePerGas ?? '0x0') + priorityFeeWei;
    const transaction = { to, calldata, nonce, gasMax, feeWeiMax, priorityFeeWei };
    const { raw, hash } = await by.sign(transaction, this.chainId);
    // A node that runs the transaction before it takes it refuses a reverting one here, with the same error as below.
    try {
      await this.#rpc.send('eth_sendRawTransaction', [raw]);
    } catch (error) {
      await this.#explain(by, to, calldata, what);
      throw error;
    }
    const found = await this.#mined(hash, what);
    const receipt = readReceipt(found, (log) => this.#readLog(log));
    if (!receipt.hasSucceeded) {
      await this.#explain(by, to, calldata, what, receipt.blockNumber);
      throw new OperatingError('transaction-reverted', `${what} reverted in ${hash}`, { retry: 'never' });
    }
    return { receipt, contractAddress: found.contractAddress };
  }

  async #mined(hash: string, what: string) {
    const deadline = Date.now() + minedMsMax;
    for (;;) {
      const found = await this.#rpc.send<Parameters<typeof readReceipt>[0] | null>('eth_getTransactionReceipt', [hash]);
      if (found !== null) return found;
      if (Date.now() > deadline) throw new Error(`${what}: ${hash} was not mined in ${minedMsMax} ms`);
      await new Promise((resolve) => setTimeout(resolve, 20));
    }
  }

  /** Throws the custom error that this call reverts with, if it does. */
  async #explain(
    by: Transmitter,
    to: Address | undefined,
    calldata: string,
    what: string,
    blockNumber?: number,
  ): Promise<void> {
    const tag = blockNumber === undefined ? 'latest' : `0x${(blockNumber - 1).toString(16)}`;
    try {
      await this.#rpc.provider.send('eth_call', [{ from: by.address, to, data: calldata }, tag]);
    } catch (error) {
      const revert = this.#readRevert(error);
      throw new OperatingError('transaction-reverted', `${what}: ${revert}`, { retry: 'never', cause: error });
    }
  }

  #readRevert(error: unknown): string {
    const bytes = typeof error === 'object' && error !== null && 'data' in error ? error.data : undefined;
    if (typeof bytes !== 'string') return 'reverted';
    for (const abi of this.#abis.values()) {
      const revert = abi.readError(bytes);
      if (revert !== undefined) return revert.message;
    }
    return `reverted with ${bytes}`;
  }

  #readLog(log: Parameters<Parameters<typeof readReceipt>[1]>[0]): ChainEvent | undefined {
    const name = this.#named.get(log.address.toLowerCase());
    return name === undefined ? undefined : this.#abi(name).readLog(name, log);
  }
}
