/**
 * What the parties of an order have agreed on, and the digest that each of them signed: EIP-712 over IAgreements.Terms,
 * domain "Coldproof" version "1" of one chain and one Agreements contract. The mirror of contracts/TermsHash.sol.
 */
import { keccak_256 } from '@noble/hashes/sha3.js';
import { concatBytes, hexToBytes, utf8ToBytes } from './bytes.ts';
import { shapes, type ValueOf } from './json.ts';
import { unixSecMax } from './limits.ts';
import { assert } from './verdict.ts';

const { struct, list, integer, text } = shapes;

/** 0x and 40 lower-case hex digits. */
export const addressShape = text(/^0x[0-9a-f]{40}$/, '0x and 40 lower-case hex digits');
export const wordShape = text(/^0x[0-9a-f]{64}$/, '0x and 64 lower-case hex digits');
/** More than a JSON number holds exactly, and less than a word of the EVM does: no two texts have one word. */
const amountShape = text(/^(0|[1-9][0-9]{0,38})$/, 'a decimal number of up to 39 digits');
const secondsShape = integer(0, unixSecMax);
const centiC = integer(-0x8000, 0x7fff);

/** The fields of IAgreements.Terms by their names, times with their unit. */
export const termsShape = struct({
  token: addressShape,
  price: amountShape,
  quantity: amountShape,
  buyer: addressShape,
  consignee: addressShape,
  carrier: addressShape,
  suppliers: list(addressShape, 1, 8),
  limits: list(
    struct({
      channel: integer(0, 0xff),
      lowerLimitCentiC: centiC,
      upperLimitCentiC: centiC,
      excursionSecMin: secondsShape,
      cumulativeSecMin: secondsShape,
    }),
    1,
    4,
  ),
  sampleGapSecMax: integer(0, 0xffff),
  dispatchSecMax: secondsShape,
  transitSecMax: secondsShape,
  claimSecMax: secondsShape,
  consequence: integer(0, 0xff),
  reorderCountMax: integer(0, 0xff),
  quality: struct({ authority: addressShape, decisionSecMax: secondsShape }),
  silence: struct({ monitor: addressShape, silenceSecMax: secondsShape, challengeSecMax: secondsShape }),
  attested: struct({
    disputes: addressShape,
    arbiter: addressShape,
    bond: amountShape,
    livenessSecMin: secondsShape,
    arbitrationSecMax: secondsShape,
    cryptlets: list(wordShape, 0, 8),
  }),
  cover: addressShape,
  reconciliation: addressShape,
  offerUntil: secondsShape,
  salt: wordShape,
});

export type Terms = ValueOf<typeof termsShape>;

/** Where an agreement was made: a party's signature holds there and nowhere else. */
export type TermsDomain = { readonly chainId: number; readonly agreements: string };

const attestedType =
  'AttestedTerms(address disputes,address arbiter,uint128 bond,uint32 livenessSecMin,uint32 arbitrationSecMax,' +
  'bytes32[] cryptlets)';
const limitType =
  'Limit(uint8 channel,int16 lowerLimitCentiC,int16 upperLimitCentiC,uint32 excursionSecMin,uint32 cumulativeSecMin)';
const qualityType = 'QualityTerms(address authority,uint32 decisionSecMax)';
const silenceType = 'SilenceTerms(address monitor,uint32 silenceSecMax,uint32 challengeSecMax)';
const termsType =
  'Terms(address token,uint128 price,uint64 quantity,address buyer,address consignee,address carrier,' +
  'address[] suppliers,Limit[] limits,uint16 sampleGapSecMax,uint32 dispatchSecMax,uint32 transitSecMax,' +
  'uint32 claimSecMax,uint8 consequence,uint8 reorderCountMax,QualityTerms quality,SilenceTerms silence,' +
  'AttestedTerms attested,address cover,address reconciliation,uint32 offerUntil,bytes32 salt)';
const domainType = 'EIP712Domain(string name,string version,uint256 chainId,address verifyingContract)';

/** 0x-hex of at most a word, a number or a decimal text -> 32 bytes, as abi.encode has them. */
function word(value: string | number): Uint8Array {
  if (typeof value === 'string' && value.startsWith('0x')) return hexToBytes(value.slice(2).padStart(64, '0'));
  const number = BigInt.asUintN(256, BigInt(value));
  return hexToBytes(number.toString(16).padStart(64, '0'));
}

/** hashStruct (EIP-712): the type's hash, then a word for each field. */
function hashStruct(type: string, ...fields: readonly (string | number | Uint8Array)[]): Uint8Array {
  const words = fields.map((field) => (field instanceof Uint8Array ? field : word(field)));
  return keccak_256(concatBytes(keccak_256(utf8ToBytes(type)), ...words));
}

function hashList(words: readonly Uint8Array[]): Uint8Array {
  return keccak_256(concatBytes(...words));
}

/** The digest that buyer, carrier and suppliers signed; what Agreements.digestTerms gives. */
export function digestTerms(terms: Terms, { chainId, agreements }: TermsDomain): Uint8Array {
  assert(Number.isSafeInteger(chainId), `chain id ${chainId}`);
  const { quality, silence, attested } = terms;
  const limits = terms.limits.map((limit) =>
    hashStruct(
      ...([limitType, limit.channel, limit.lowerLimitCentiC, limit.upperLimitCentiC] as const),
      ...[limit.excursionSecMin, limit.cumulativeSecMin],
    ),
  );
  const hash = hashStruct(
    // The types that it refers to stand behind it in the order of their names (EIP-712, encodeType).
    termsType + attestedType + limitType + qualityType + silenceType,
    ...[terms.token, terms.price, terms.quantity, terms.buyer, terms.consignee, terms.carrier],
    hashList(terms.suppliers.map(word)),
    hashList(limits),
    ...[terms.sampleGapSecMax, terms.dispatchSecMax, terms.transitSecMax, terms.claimSecMax],
    ...[terms.consequence, terms.reorderCountMax],
    hashStruct(qualityType, quality.authority, quality.decisionSecMax),
    hashStruct(silenceType, silence.monitor, silence.silenceSecMax, silence.challengeSecMax),
    hashStruct(
      ...([attestedType, attested.disputes, attested.arbiter, attested.bond, attested.livenessSecMin] as const),
      ...[attested.arbitrationSecMax, hashList(attested.cryptlets.map(word))],
    ),
    ...[terms.cover, terms.reconciliation, terms.offerUntil, terms.salt],
  );
  const [name, version] = ['Coldproof', '1'].map((each) => keccak_256(utf8ToBytes(each)));
  const domain = hashStruct(domainType, name!, version!, chainId, agreements);
  return keccak_256(concatBytes(Uint8Array.of(0x19, 0x01), domain, hash));
}
