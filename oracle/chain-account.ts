/** Accounts that pay for transactions. They sign, they do not export their keys. */
import { scrypt as scryptOfOpenssl } from 'node:crypto';
import { promisify } from 'node:util';
import {
  HDNodeWallet,
  Wallet,
  encryptKeystoreJson,
  getCreateAddress,
  isError,
  keccak256,
  scrypt,
  type BaseWallet,
} from 'ethers';
import type { Address, Hash } from './chain-abi.ts';
import { OperatingError } from './operating-error.ts';

const scryptBytesMax = 512 * 1024 * 1024;
const scryptAsync = promisify<string | NodeJS.ArrayBufferView, NodeJS.ArrayBufferView, number, object, Buffer>(
  scryptOfOpenssl,
);
// ethers' own is JavaScript, and takes many times as long.
scrypt.register((passphrase, salt, n, r, p, bytes) =>
  scryptAsync(passphrase, salt, bytes, { N: n, r, p, maxmem: scryptBytesMax }),
);

export type SignedTransaction = { readonly raw: string; readonly hash: Hash };

export type UnsignedTransaction = {
  readonly to: Address | undefined;
  readonly calldata: string;
  readonly nonce: number;
  readonly gasMax: bigint;
  readonly feeWeiMax: bigint;
  readonly priorityFeeWei: bigint;
};

/** An account that pays for transactions. It signs, it does not export its key. */
export type Transmitter = {
  readonly address: Address;
  sign(transaction: UnsignedTransaction, chainId: number): Promise<SignedTransaction>;
};

/** A party that signs agreements, or an oracle that attests with the account that pays. */
export type Signatory = {
  readonly address: Address;
  /** r ‖ s ‖ v over an EIP-712 digest, 0x-hex. */
  signDigest(digest: Hash): string;
};

function accountOf(wallet: BaseWallet): Transmitter & Signatory {
  return {
    address: wallet.address,
    async sign({ to, calldata, nonce, gasMax, feeWeiMax, priorityFeeWei }, chainId) {
      const fees = { maxFeePerGas: feeWeiMax, maxPriorityFeePerGas: priorityFeeWei, gasLimit: gasMax };
      const raw = await wallet.signTransaction({ type: 2, chainId, to: to ?? null, data: calldata, nonce, ...fees });
      return { raw, hash: keccak256(raw) };
    },
    signDigest: (digest) => wallet.signingKey.sign(digest).serialized,
  };
}

/** One of the accounts of a mnemonic phrase (BIP-44, m/44'/60'/0'/0/index): how development chains hand out money. */
export function accountOfPhrase(phrase: string, index: number): Transmitter & Signatory {
  return accountOf(HDNodeWallet.fromPhrase(phrase, undefined, `m/44'/60'/0'/0/${index}`));
}

export function accountOfKey(privateKey: string): Transmitter & Signatory {
  return accountOf(new Wallet(privateKey));
}

/**
 * The transmitter's key, from the text of its file: encrypted JSON (Web3 secret storage, needs the passphrase) or a
 * bare private key in hex.
 */
export async function readTransmitter(
  path: string,
  text: string,
  passphrase: string,
): Promise<Transmitter & Signatory> {
  try {
    if (!text.startsWith('{')) return accountOfKey(text.trim());
    return accountOf(await Wallet.fromEncryptedJson(text, passphrase));
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

/** Where the contract stands that this transaction of `from` creates. */
export function creationAddress(from: Address, nonce: number): Address {
  return getCreateAddress({ from, nonce });
}
