/** Terms as the parties sign them (EIP-712): IAgreements in TypeScript. */
import { TypedDataEncoder, ZeroAddress, type TypedDataDomain } from 'ethers';
import { excursionTerms } from './fixture.ts';

export const consequences = { reorder: 0, quarantine: 1 } as const;
export const causes = { none: 0, excursion: 1, cumulativeExcursion: 2, silence: 3, attested: 4 } as const;
export const dispositions = { released: 0, partlyReleased: 1, rejected: 2 } as const;

export type Limit = {
  readonly channel: number;
  readonly lowerLimitCentiC: number;
  readonly upperLimitCentiC: number;
  readonly excursionSecMin: number;
  readonly cumulativeSecMin: number;
};

export type Terms = {
  readonly token: string;
  readonly price: bigint;
  readonly quantity: bigint;
  readonly buyer: string;
  readonly consignee: string;
  readonly carrier: string;
  readonly suppliers: readonly string[];
  readonly limits: readonly Limit[];
  readonly sampleGapSecMax: number;
  readonly dispatchSecMax: number;
  readonly transitSecMax: number;
  readonly claimSecMax: number;
  readonly consequence: number;
  readonly reorderCountMax: number;
  readonly quality: { readonly authority: string; readonly decisionSecMax: number };
  readonly silence: { readonly monitor: string; readonly silenceSecMax: number; readonly challengeSecMax: number };
  readonly attested: {
    readonly disputes: string;
    readonly arbiter: string;
    readonly bond: bigint;
    readonly livenessSecMin: number;
    readonly arbitrationSecMax: number;
    readonly cryptlets: readonly string[];
  };
  readonly cover: string;
  readonly reconciliation: string;
  readonly offerUntil: number;
  readonly salt: string;
};

const { channel, lowerLimitCentiC, upperLimitCentiC, excursionSecMin, sampleGapSecMax } = excursionTerms;

/** The channel of the fixture's evidence. */
export const limit: Limit = { channel, lowerLimitCentiC, upperLimitCentiC, excursionSecMin, cumulativeSecMin: 0 };

/** What the parties need not think of: no quarantine, no silence, nothing attested, no cover. */
export const plainTerms = {
  limits: [limit],
  sampleGapSecMax,
  dispatchSecMax: 7 * 86_400,
  transitSecMax: 14 * 86_400,
  claimSecMax: 3 * 86_400,
  consequence: consequences.reorder,
  reorderCountMax: 8,
  quality: { authority: ZeroAddress, decisionSecMax: 0 },
  silence: { monitor: ZeroAddress, silenceSecMax: 0, challengeSecMax: 0 },
  attested: {
    disputes: ZeroAddress,
    arbiter: ZeroAddress,
    bond: 0n,
    livenessSecMin: 0,
    arbitrationSecMax: 0,
    cryptlets: [],
  },
  cover: ZeroAddress,
  reconciliation: ZeroAddress,
} as const;

export const termsTypes = {
  Terms: fields(
    'address token,uint128 price,uint64 quantity,address buyer,address consignee,address carrier,address[] suppliers',
    'Limit[] limits,uint16 sampleGapSecMax,uint32 dispatchSecMax,uint32 transitSecMax,uint32 claimSecMax',
    'uint8 consequence,uint8 reorderCountMax,QualityTerms quality,SilenceTerms silence,AttestedTerms attested',
    'address cover,address reconciliation,uint32 offerUntil,bytes32 salt',
  ),
  Limit: fields(
    'uint8 channel,int16 lowerLimitCentiC,int16 upperLimitCentiC,uint32 excursionSecMin,uint32 cumulativeSecMin',
  ),
  QualityTerms: fields('address authority,uint32 decisionSecMax'),
  SilenceTerms: fields('address monitor,uint32 silenceSecMax,uint32 challengeSecMax'),
  AttestedTerms: fields(
    'address disputes,address arbiter,uint128 bond,uint32 livenessSecMin,uint32 arbitrationSecMax',
    'bytes32[] cryptlets',
  ),
};

export const deliveryTypes = { Delivery: fields('uint256 orderId,uint64 quantity') };

function fields(...lists: readonly string[]): { name: string; type: string }[] {
  return lists
    .join(',')
    .split(',')
    .map((field) => {
      const [type, name] = field.split(' ');
      return { type: type!, name: name! };
    });
}

/** Another implementation's idea of what the contract has signed. */
export function digestTerms(domain: TypedDataDomain, terms: Terms): string {
  return TypedDataEncoder.hash(domain, termsTypes, terms);
}
