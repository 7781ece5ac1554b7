/** An owner for tests: keys of both kinds, messages as they should be and as they should not. */
import { ed25519 } from '@noble/curves/ed25519.js';
import { p256 } from '@noble/curves/nist.js';
import {
  encodeOwnerCommand,
  encodeOwnerConfig,
  encodeOwnerMessage,
  ownerPreimage,
  type OwnerCommand,
  type OwnerMessage,
} from '@coldproof/wire';

export class TestOwner {
  readonly publicKey: Uint8Array;
  readonly #sign: (preimage: Uint8Array) => Uint8Array;

  constructor(kind: 'p256' | 'ed25519', seed = 1) {
    const secret = new Uint8Array(32).fill(seed);
    const isP256 = kind === 'p256';
    this.publicKey = isP256 ? p256.getPublicKey(secret, false).subarray(1) : ed25519.getPublicKey(secret);
    this.#sign = (preimage) => (isP256 ? p256.sign(preimage, secret) : ed25519.sign(preimage, secret));
  }

  /** `as`: the domain that it is signed in, where that is to be another than the body's. */
  sign(as: OwnerMessage, body: Uint8Array): Uint8Array {
    return encodeOwnerMessage(body, this.publicKey, this.#sign(ownerPreimage(as, this.publicKey, body)));
  }

  config(device: Uint8Array, number: number, settings: object | string): Uint8Array {
    const text = typeof settings === 'string' ? settings : JSON.stringify(settings);
    return this.sign('config', encodeOwnerConfig({ device, number, settings: text }));
  }

  command(
    device: Uint8Array,
    id: number,
    { name, argument, expiresSec }: Pick<OwnerCommand, 'name' | 'argument' | 'expiresSec'>,
  ): Uint8Array {
    const body = encodeOwnerCommand({ device, id: new Uint8Array(16).fill(id), expiresSec, name, argument });
    return this.sign('command', body);
  }
}
