/**
 * An account whose key is elsewhere: a signer that speaks web3signer's protocol (Consensys web3signer, "JSON-RPC API":
 * eth_accounts, eth_signTransaction), which keeps keys in a vault, an HSM or a cloud's key service.
 *
 * The signer has a chain id of its own configuration and defaults for what it does not understand. So what comes back
 * is taken apart and held against what was asked, field by field, before anybody stores it or sends it.
 */
import { Transaction, getAddress, keccak256, toQuantity } from 'ethers';
import type { Address } from './chain-abi.ts';
import type { SignedTransaction, Transmitter, UnsignedTransaction } from './chain-account.ts';
import { OperatingError, describeError } from './operating-error.ts';

export type SignerSettings = {
  readonly url: string;
  readonly address: Address;
  readonly timeoutMs: number;
};

/** Its `sign` throws 'signer-unreachable' or 'signer-differs', both to be tried again later: the verdict waits. */
export function openSigner({ url, address, timeoutMs }: SignerSettings): Transmitter {
  const from = getAddress(address.toLowerCase());
  const name = new URL(url).origin;
  return {
    address: from,
    async sign(transaction, chainId) {
      const raw = await ask({ url, name, timeoutMs }, 'eth_signTransaction', [requestOf(transaction, from)]);
      return checkSigned(raw, { ...transaction, from, chainId }, name);
    },
  };
}

/** EIP-1559 by both fees; quantities without leading zeros; `value` said, since the default is the signer's. */
function requestOf({ to, calldata, nonce, gasMax, feeWeiMax, priorityFeeWei }: UnsignedTransaction, from: Address) {
  return {
    from,
    ...(to === undefined ? {} : { to }),
    gas: toQuantity(gasMax),
    maxFeePerGas: toQuantity(feeWeiMax),
    maxPriorityFeePerGas: toQuantity(priorityFeeWei),
    nonce: toQuantity(nonce),
    value: '0x0',
    data: calldata,
  };
}

async function ask(
  { url, name, timeoutMs }: { url: string; name: string; timeoutMs: number },
  method: string,
  params: readonly unknown[],
): Promise<unknown> {
  const unreachable = (why: string, cause?: unknown) => {
    return new OperatingError('signer-unreachable', `signer ${name}: ${method}: ${why}`, { retry: 'later', cause });
  };
  let answer: { result?: unknown; error?: { code?: unknown; message?: unknown } } | null;
  try {
    const body = JSON.stringify({ jsonrpc: '2.0', id: 1, method, params });
    const headers = { 'content-type': 'application/json' };
    const signal = AbortSignal.timeout(timeoutMs);
    const response = await fetch(url, { method: 'POST', headers, body, signal, redirect: 'error' });
    // web3signer answers a refused request with status 400 and the reason as JSON-RPC.
    answer = JSON.parse(await response.text()) as typeof answer;
  } catch (cause) {
    throw unreachable(describeError(cause), cause);
  }
  if (answer?.error !== undefined) throw unreachable(`${String(answer.error.message)} (${String(answer.error.code)})`);
  return answer?.result;
}

type Asked = UnsignedTransaction & { readonly from: Address; readonly chainId: number };

/** Throws 'signer-differs' with the first field that is not as it was asked for. */
export function checkSigned(raw: unknown, asked: Asked, name: string): SignedTransaction {
  const differs = (field: string, expected: unknown, got: unknown, cause?: unknown) => {
    const message = `signer ${name}: ${field}: expected ${String(expected)}, got ${String(got)}`;
    return new OperatingError('signer-differs', message, { retry: 'later', ...(cause === undefined ? {} : { cause }) });
  };
  if (typeof raw !== 'string') throw differs('result', 'a raw transaction, 0x-hex', typeof raw);
  const signed = parse(raw, (cause) => differs('result', 'a signed transaction', raw.slice(0, 40), cause));
  const fields: [string, unknown, unknown][] = [
    ['type', 2, signed.type],
    ['chainId', BigInt(asked.chainId), signed.chainId],
    ['from', asked.from, signed.from],
    ['to', asked.to?.toLowerCase() ?? null, signed.to?.toLowerCase() ?? null],
    ['nonce', asked.nonce, signed.nonce],
    ['value', 0n, signed.value],
    ['data', asked.calldata.toLowerCase(), signed.data],
    ['gas', asked.gasMax, signed.gasLimit],
    ['maxFeePerGas', asked.feeWeiMax, signed.maxFeePerGas],
    ['maxPriorityFeePerGas', asked.priorityFeeWei, signed.maxPriorityFeePerGas],
    ['accessList', 0, signed.accessList?.length ?? 0],
  ];
  for (const [field, expected, got] of fields) if (expected !== got) throw differs(field, expected, got);
  // One form only: its hash is what is looked for on the chain.
  if (signed.serialized !== raw.toLowerCase()) throw differs('result', 'the canonical encoding', raw.slice(0, 40));
  return { raw: signed.serialized, hash: keccak256(signed.serialized) };
}

function parse(raw: string, failure: (cause: unknown) => OperatingError): Transaction {
  try {
    return Transaction.from(raw);
  } catch (cause) {
    throw failure(cause);
  }
}
