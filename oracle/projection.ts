/** What the contracts' views give -> Order and Device. Pure. The only file that knows the fields of those structs. */
import { assert, readShape, termsShape, unixSecMax, type Json, type Terms } from '@coldproof/wire';
import type { ChainStruct, ChainValue } from './chain-abi.ts';
import { causes, orderStates, type Device, type Order } from './store-chain.ts';

/** The agreement that an order stands under, undefined when there is no such order. */
export function agreementOf(view: ChainValue): string | undefined {
  const agreementId = new Fields(view, 'order').integer('agreementId');
  return agreementId === '0' ? undefined : agreementId;
}

/** `termsView` is that of the order's agreement. */
export function readOrder(orderId: string, view: ChainValue, termsView: ChainValue): Order {
  const order = new Fields(view, 'order');
  const state = orderStates[order.number('state')];
  assert(state !== undefined, `the contract's order states are those of orderStates`);
  const cause = causes[order.number('cause')];
  assert(cause !== undefined, `the contract's causes are those of causes`);
  const terms = new Fields(termsView, 'terms');
  const sampleGapSecMax = terms.number('sampleGapSecMax');
  const attested = terms.struct('attested');
  return {
    orderId,
    state,
    cause,
    agreementId: order.integer('agreementId'),
    buyer: order.text('buyer'),
    supplier: order.text('supplier'),
    device: bareHex(order.text('device')),
    truck: order.text('truck'),
    dispatchedAtSec: order.number('dispatchedAt'),
    judgedFromSec: order.number('judgedFrom'),
    deliveredAtSec: order.number('deliveredAt'),
    replacementId: order.integer('replacementId'),
    replacementOf: order.integer('replacementOf'),
    ticketId: order.integer('ticketId'),
    evidenceDigest: order.text('evidenceDigest'),
    price: terms.integer('price'),
    limits: terms.list('limits').map((limit) => ({
      channel: limit.number('channel'),
      lowerLimitCentiC: limit.number('lowerLimitCentiC'),
      upperLimitCentiC: limit.number('upperLimitCentiC'),
      excursionSecMin: limit.number('excursionSecMin'),
      cumulativeSecMin: limit.number('cumulativeSecMin'),
      sampleGapSecMax,
    })),
    terms: readTerms(termsView),
    disputes: attested.text('disputes'),
    cryptlets: attested.texts('cryptlets').map(bareHex),
  };
}

/** IAgreements.Terms, with large numbers as decimal text and hex in lower case. */
export function readTerms(view: ChainValue): Terms {
  const terms = readShape(termsShape, plain(view), 'terms');
  assert(terms.ok, terms.ok ? '' : terms.detail);
  return terms.value;
}

function plain(value: ChainValue): Json {
  if (typeof value === 'bigint') return value.toString();
  if (typeof value === 'string') return value.toLowerCase();
  if (typeof value !== 'object') return value;
  if (Array.isArray(value)) return (value as readonly ChainValue[]).map(plain);
  return Object.fromEntries(Object.entries(value).map(([key, each]) => [key, plain(each)]));
}

/** Undefined when the device is not enrolled. */
export function readDevice(device: string, view: ChainValue): Device | undefined {
  const fields = new Fields(view, 'device');
  const validFromSec = fields.number('validFrom');
  if (validFromSec === 0) return undefined;
  const revokedFromSec = fields.number('revokedFrom');
  return {
    device,
    publicKey: bareHex(fields.text('x')) + bareHex(fields.text('y')),
    owner: fields.text('owner'),
    asset: Buffer.from(bareHex(fields.text('asset')), 'hex').toString('latin1'),
    validFromSec,
    calibrationDigest: bareHex(fields.text('calibrationDigest')),
    calibrationUntilSec: fields.number('calibrationUntil'),
    ...(revokedFromSec === unixSecMax ? {} : { revokedFromSec }),
  };
}

export function bareHex(text: string): string {
  return text.replace(/^0x/, '').toLowerCase();
}

/** A missing field is a mismatch between this file and the contracts: a bug, found by the first test. */
class Fields {
  readonly #struct: ChainStruct;
  readonly #what: string;

  constructor(value: ChainValue | undefined, what: string) {
    assert(typeof value === 'object' && !Array.isArray(value), `${what} is a struct`);
    this.#struct = value as ChainStruct;
    this.#what = what;
  }

  number(name: string): number {
    const value = this.#struct[name];
    assert(typeof value === 'number' || typeof value === 'bigint', `${this.#what}.${name} is a number`);
    return Number(value);
  }

  /** Decimal digits, for numbers of up to 256 bits. */
  integer(name: string): string {
    const value = this.#struct[name];
    assert(typeof value === 'number' || typeof value === 'bigint', `${this.#what}.${name} is a number`);
    return value.toString();
  }

  text(name: string): string {
    const value = this.#struct[name];
    assert(typeof value === 'string', `${this.#what}.${name} is text`);
    return value;
  }

  struct(name: string): Fields {
    return new Fields(this.#struct[name], `${this.#what}.${name}`);
  }

  texts(name: string): string[] {
    const value = this.#struct[name];
    assert(Array.isArray(value), `${this.#what}.${name} is a list`);
    return (value as ChainValue[]).map((each) => {
      assert(typeof each === 'string', `${this.#what}.${name} is a list of texts`);
      return each;
    });
  }

  list(name: string): Fields[] {
    const value = this.#struct[name];
    assert(Array.isArray(value), `${this.#what}.${name} is a list`);
    return (value as ChainValue[]).map((each, i) => new Fields(each, `${this.#what}.${name}[${i}]`));
  }
}
