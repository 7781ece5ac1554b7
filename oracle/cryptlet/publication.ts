/** What the registry is told of a cryptlet. */
import { keccak_256 } from '@noble/hashes/sha3.js';
import { bytesToHex, utf8ToBytes } from '@coldproof/wire';
import { manifestDigest, type Cryptlet } from './cryptlet.ts';

export type Publication = {
  readonly cryptlet: string;
  readonly name: string;
  readonly version: number;
  readonly interfaceId: string;
  readonly manifestDigest: string;
};

/** As CryptletRegistry.publish takes it: 0x-hex, the name in ASCII padded with zeros. */
export function publicationOf({ digest, manifest }: Cryptlet): Publication {
  return {
    cryptlet: hex(digest),
    name: hex(utf8ToBytes(manifest.name)).padEnd(66, '0'),
    version: manifest.version,
    interfaceId: hex(keccak_256(utf8ToBytes(manifest.interface))),
    manifestDigest: hex(manifestDigest(manifest)),
  };
}

function hex(bytes: Uint8Array): string {
  return `0x${bytesToHex(bytes)}`;
}
