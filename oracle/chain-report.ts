/**
 * What a node of a consortium asks of the chain and sends to it: the oracles' configuration, which reports were used,
 * which heads are anchored; and the calls that carry a report and a head.
 */
import { AbiCoder } from 'ethers';
import { bytesToHex, hexToBytes, type QuorumDomain, type Report } from '@coldproof/wire';
import type { Chain } from './chain.ts';
import type { ChainStruct, ChainValue } from './chain-abi.ts';
import { OperatingError } from './operating-error.ts';
import type { Slot } from './store-quorum.ts';

export type OracleConfig = {
  readonly domain: QuorumDomain;
  readonly count: number;
  readonly f: number;
  /** 20 bytes each, ascending. */
  readonly signers: readonly Uint8Array[];
};

export type AnchoredHead = { readonly size: number; readonly anchoredAtSec: number; readonly root: Uint8Array };

/** Everything may throw OperatingError 'chain-unreachable' (retry later). */
export type QuorumChain = {
  /** Address of Disputes, 20 bytes: whom the reports are for. */
  readonly consumer: Uint8Array;
  config(): Promise<OracleConfig>;
  /** The last sequence that the contract has used, 0 for none. */
  sequenceOf(slot: Pick<Slot, 'cryptlet' | 'orderId'>, atBlock?: number): Promise<number>;
  anchored(log: Uint8Array, atBlock?: number): Promise<AnchoredHead>;
  encodeReport(report: Report, signatures: readonly Uint8Array[]): string;
  encodeAnchor(
    head: { readonly log: Uint8Array; readonly size: number; readonly root: Uint8Array },
    signatures: readonly Uint8Array[],
    path: readonly Uint8Array[],
  ): string;
};

export function openQuorumChain(chain: Pick<Chain, 'chainId' | 'contracts' | 'view' | 'encode'>): QuorumChain {
  const oracleSet = addressBytes(chain, 'OracleSet');
  const consumer = addressBytes(chain, 'Disputes');
  return {
    consumer,
    async config() {
      const view = structOf(await answer(chain.view('OracleSet', 'config', []), 'OracleSet.config'));
      const domain = { chainId: chain.chainId, oracleSet, config: bytesOf(view['digest']) };
      const signers = (view['signers'] as readonly ChainValue[]).map(bytesOf);
      return { domain, count: Number(view['count']), f: Number(view['f']), signers };
    },
    async sequenceOf({ cryptlet, orderId }, atBlock) {
      return Number(
        await answer(chain.view('Disputes', 'sequenceOf', [`0x${cryptlet}`, orderId], atBlock), 'sequence'),
      );
    },
    async anchored(log, atBlock) {
      const view = structOf(await answer(chain.view('AnchorLog', 'latest', [log], atBlock), 'AnchorLog.latest'));
      return { size: Number(view['size']), anchoredAtSec: Number(view['anchoredAt']), root: bytesOf(view['root']) };
    },
    encodeReport({ deadlineSec, ...report }, signatures) {
      const fields = { ...report, consumer: hex(report.consumer), deadline: deadlineSec };
      return chain.encode('Disputes', 'transmit', [fields, signatures]);
    },
    encodeAnchor: ({ log, size, root }, signatures, path) =>
      chain.encode('AnchorLog', 'anchor', [log, size, root, signatures, path]),
  };
}

/** A report's payload: values by their Solidity types, ABI-encoded. */
export function encodePayload(types: readonly string[], values: readonly (string | number | bigint | boolean)[]) {
  return hexToBytes(AbiCoder.defaultAbiCoder().encode(types, values).slice(2));
}

async function answer(asked: ReturnType<Chain['view']>, what: string): Promise<ChainValue> {
  const got = await asked;
  if (got.ok) return got.value;
  throw new OperatingError('chain-unreachable', `${what}: ${got.revert.message}`, { retry: 'later' });
}

function addressBytes({ contracts }: Pick<Chain, 'contracts'>, name: 'OracleSet' | 'Disputes'): Uint8Array {
  const address = contracts[name];
  if (address === undefined) throw new RangeError(`contracts: expected an address of ${name}`);
  return bytesOf(address);
}

function structOf(value: ChainValue): ChainStruct {
  if (typeof value !== 'object' || Array.isArray(value)) throw new TypeError('expected a struct');
  // Not a list, as just checked; the compiler cannot tell a read-only list from a struct.
  return value as ChainStruct;
}

function bytesOf(value: ChainValue | undefined): Uint8Array {
  if (typeof value !== 'string') throw new TypeError('expected 0x-hex');
  return hexToBytes(value.slice(2).toLowerCase());
}

function hex(bytes: Uint8Array): string {
  return `0x${bytesToHex(bytes)}`;
}
