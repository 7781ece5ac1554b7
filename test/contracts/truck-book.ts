/** What a workshop signs into a truck's book, and how a copy of the book is checked. */
import { AbiCoder, keccak256, TypedDataEncoder, type JsonRpcSigner, type TypedDataDomain } from 'ethers';
import type { Sent } from '../helpers/chain.ts';
import type { Market } from './market.ts';

/** SHA-256 of a report, for all that these tests know. */
export const report = `0x${'99'.repeat(32)}`;

export const entryKinds = [
  'Registration',
  'TicketOpening',
  'TicketClosing',
  'Transfer',
  'Maintenance',
  'Repair',
  'RefrigerationService',
] as const;

export type Inspection = {
  readonly workshop: string;
  readonly odometerKm: number;
  readonly inspectedAt: number;
  readonly validUntil: number;
  readonly reportDigest: string;
};

export type Service = {
  readonly workshop: string;
  readonly kind: number;
  readonly odometerKm: number;
  readonly number: number;
  readonly reportDigest: string;
};

/** Fields of an Entry as the contract encodes them. */
const entryType = 'tuple(uint8 kind,uint32 enteredAt,uint32 odometerKm,address author,uint256 ticketId,bytes32 digest)';

export type Entry = {
  readonly kind: bigint;
  readonly enteredAt: bigint;
  readonly odometerKm: bigint;
  readonly author: string;
  readonly ticketId: bigint;
  readonly digest: string;
};

const inspectionTypes = {
  Inspection: [
    { name: 'ticketId', type: 'uint256' },
    { name: 'truck', type: 'bytes32' },
    { name: 'workshop', type: 'address' },
    { name: 'odometerKm', type: 'uint32' },
    { name: 'inspectedAt', type: 'uint32' },
    { name: 'validUntil', type: 'uint32' },
    { name: 'reportDigest', type: 'bytes32' },
  ],
};

const serviceTypes = {
  Service: [
    { name: 'truck', type: 'bytes32' },
    { name: 'workshop', type: 'address' },
    { name: 'kind', type: 'uint8' },
    { name: 'odometerKm', type: 'uint32' },
    { name: 'number', type: 'uint32' },
    { name: 'reportDigest', type: 'bytes32' },
  ],
};

/** What is signed for this contract and no other. */
export function domainOf(verifyingContract: string, chainId: number): TypedDataDomain {
  return { name: 'Coldproof', version: '1', chainId, verifyingContract };
}

type OfTicket = { readonly ticketId: bigint; readonly truck: string };

export function signInspection(
  by: JsonRpcSigner,
  domain: TypedDataDomain,
  inspection: Inspection & OfTicket,
): Promise<string> {
  return by.signTypedData(domain, inspectionTypes, inspection);
}

export function digestInspection(domain: TypedDataDomain, inspection: Inspection & OfTicket): string {
  return TypedDataEncoder.hash(domain, inspectionTypes, inspection);
}

export function signService(
  by: JsonRpcSigner,
  domain: TypedDataDomain,
  service: Service & { readonly truck: string },
): Promise<string> {
  return by.signTypedData(domain, serviceTypes, service);
}

/** The digest that the contract must have for a truck whose book is these entries. */
export function bookHeadOf(truck: string, entries: readonly Entry[]): string {
  const coder = AbiCoder.defaultAbiCoder();
  return entries.reduce((head, entry) => keccak256(coder.encode(['bytes32', entryType], [head, entry])), truck);
}

/** The workshop passes the truck of a ticket, and says so itself. */
export async function closeTicket(market: Market, ticketId: bigint): Promise<Sent> {
  const workshop = market.address('workshop');
  await market.send('deployer', 'fleet', 'registerWorkshop', [workshop, true]);
  const { truck } = (await market.call('fleet', 'ticketOf', [ticketId])) as { truck: string };
  const { odometerKm } = (await market.call('fleet', 'truckOf', [truck])) as { odometerKm: bigint };
  const nowSec = await market.chain.nowSec();
  const times = { inspectedAt: nowSec, validUntil: nowSec + 3_600 };
  const inspection = { workshop, odometerKm, ...times, reportDigest: report };
  return market.send('workshop', 'fleet', 'closeTicket', [ticketId, inspection, '0x']);
}
