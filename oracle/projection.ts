/** What the contracts' views give -> Order and Device. Pure. The only file that knows the fields of those structs. */
import { assert, unixSecMax } from '@coldproof/wire';
import type { ChainStruct, ChainValue } from './chain-abi.ts';
import { orderStates, type Device, type Order } from './store-chain.ts';

/** Undefined when there is no such order. */
export function readOrder(orderId: string, view: ChainValue): Order | undefined {
  const order = new Fields(view, 'order');
  const state = orderStates[order.number('state')];
  assert(state !== undefined, `the contract's order states are those of orderStates`);
  if (state === 'None') return undefined;
  const terms = order.struct('terms');
  return {
    orderId,
    state,
    buyer: order.text('buyer'),
    supplier: order.text('supplier'),
    device: bareHex(order.text('device')),
    truck: order.text('truck'),
    dispatchedAtSec: order.number('dispatchedAt'),
    deliveredAtSec: order.number('deliveredAt'),
    replacementId: order.integer('replacementId'),
    replacementOf: order.integer('replacementOf'),
    ticketId: order.integer('ticketId'),
    evidenceDigest: order.text('evidenceDigest'),
    price: terms.integer('price'),
    terms: {
      channel: terms.number('channel'),
      lowerLimitCentiC: terms.number('lowerLimitCentiC'),
      upperLimitCentiC: terms.number('upperLimitCentiC'),
      excursionSecMin: terms.number('excursionSecMin'),
      sampleGapSecMax: terms.number('sampleGapSecMax'),
    },
  };
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
}
