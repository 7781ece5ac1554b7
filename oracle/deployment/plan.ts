/** Who is to hold which power over the contracts of one chain: a YAML file, checked as a whole. */
import type { Address } from '../chain-abi.ts';
import { readSections, type Section } from '../config-section.ts';

/** AccessManager's numbers. 0 is its own: who has it gives and takes all others. */
export const roleIds = {
  admin: 0,
  reporter: 1,
  guardian: 2,
  approver: 3,
  consortium: 4,
  registrar: 5,
  risk: 6,
} as const;
export type Role = keyof typeof roleIds;
/** Held by accounts of people; `reporter` is held by Shipments alone. */
export type HeldRole = Exclude<Role, 'reporter'>;

export type Holders = {
  readonly accounts: readonly Address[];
  /** Between the announcement of a call under the role and the call itself. */
  readonly delaySec: number;
};

export type Plan = {
  readonly chainId: number;
  /** n = 3f + 1 signers of reports. */
  readonly oracles: { readonly signers: readonly Address[]; readonly f: number };
  readonly holders: Readonly<Record<HeldRole, Holders>>;
};

const daySec = 86_400;
const delaySecMax = 365 * daySec;

/**
 * The shortest delay allowed. What changes whom the contracts believe, or how much they let through, is seen before it
 * happens; what stops harm, or lets a single order or workshop through, is not kept waiting.
 */
const delaySecLeast: Readonly<Record<HeldRole, number>> = {
  admin: 2 * daySec,
  consortium: daySec,
  risk: daySec,
  guardian: 0,
  approver: 0,
  registrar: 0,
};

export function readPlan(path: string): Plan {
  return readSections(path, {}, (root) => {
    const oracles = root.section('oracles');
    const signers = addresses(oracles, 'signers');
    const f = oracles.integer('f', { least: 1, most: 10 });
    if (signers.length !== 3 * f + 1) oracles.problem('signers', signers.length, `${3 * f + 1} signers, 3f + 1`);
    const holders = (role: HeldRole): Holders => {
      const section = root.section(role);
      const least = delaySecLeast[role];
      return {
        accounts: addresses(section, 'accounts'),
        delaySec: section.integer('delaySec', { least, most: delaySecMax, fallback: least }),
      };
    };
    return {
      chainId: root.integer('chainId', { least: 1, most: Number.MAX_SAFE_INTEGER }),
      oracles: { signers, f },
      holders: {
        admin: holders('admin'),
        guardian: holders('guardian'),
        approver: holders('approver'),
        consortium: holders('consortium'),
        registrar: holders('registrar'),
        risk: holders('risk'),
      },
    };
  });
}

function addresses(section: Section, key: string): Address[] {
  const texts = section.texts(key);
  if (texts.length === 0) section.problem(key, texts, 'at least one account');
  for (const text of texts) {
    if (!/^0x[0-9a-fA-F]{40}$/.test(text)) section.problem(key, text, '0x and 40 hex digits');
  }
  const distinct = new Set(texts.map((text) => text.toLowerCase()));
  if (distinct.size !== texts.length) section.problem(key, texts, 'accounts that are all different');
  return texts;
}
