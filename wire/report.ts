/**
 * What a quorum of oracles signs for a contract: what a cryptlet found out (IQuorum.Report), and the head of a log.
 * The mirror of contracts/Quorum.sol, without a line of ethers: any verifier can check what a contract accepted.
 */
import { keccak_256 } from '@noble/hashes/sha3.js';
import { anchorPreimage, configPreimage, reportPreimage, type QuorumDomain } from './preimage.ts';

export type Report = {
  /** Digest of the program that made it, 32 bytes. */
  readonly cryptlet: Uint8Array;
  /** Address of the one contract that it is for, 20 bytes. */
  readonly consumer: Uint8Array;
  /** The order's id, up to 256 bits. */
  readonly subject: bigint;
  /** From 1, for each cryptlet and subject. */
  readonly sequence: number;
  /** Good until the end of this second. */
  readonly deadlineSec: number;
  /** As the cryptlet's interface says. */
  readonly payload: Uint8Array;
};

/** OracleSet.digestReport. */
export function digestReport(domain: QuorumDomain, report: Report): Uint8Array {
  return keccak_256(reportPreimage(domain, report));
}

/** OracleSet.digestCheckpoint: `log` is its `origin`. */
export function digestAnchor(
  domain: QuorumDomain,
  head: { readonly log: Uint8Array; readonly size: number; readonly root: Uint8Array },
): Uint8Array {
  return keccak_256(anchorPreimage(domain, head));
}

/** OracleSet.config().digest, from its parts. */
export function digestConfig(
  place: Pick<QuorumDomain, 'chainId' | 'oracleSet'>,
  config: { readonly count: number; readonly signers: readonly Uint8Array[]; readonly f: number },
): Uint8Array {
  return keccak_256(configPreimage(place, config));
}
