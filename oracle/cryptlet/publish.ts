/** What the registry is told of a cryptlet. */
import { keccak_256 } from '@noble/hashes/sha3.js';
import { bytesToHex, hexToBytes, utf8ToBytes } from '@coldproof/wire';
import type { Address } from '../chain-abi.ts';
import type { Signatory } from '../chain-account.ts';
import type { Ledger } from '../deployment/ledger.ts';
import { OperatingError } from '../operating-error.ts';
import { manifestDigest, publicationDigest, type Cryptlet } from './cryptlet.ts';

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

/** The publisher's signature, for the package. */
export function signCryptlet({ digest }: Cryptlet, publisher: Signatory): Uint8Array {
  return hexToBytes(publisher.signDigest(hex(publicationDigest(digest))).slice(2));
}

/** Sends it, unless it is there already. Throws OperatingError as the ledger does. */
export async function publish(cryptlet: Cryptlet, ledger: Ledger, registry: Address): Promise<'sent' | 'there'> {
  const { name, version, interfaceId, ...more } = publicationOf(cryptlet);
  await ledger.checkChainId();
  if ((await ledger.isContract('CryptletRegistry', registry)) !== true) {
    const message = `registry ${registry}: expected a CryptletRegistry of this build`;
    throw new OperatingError('deployment-differs', message, { retry: 'never' });
  }
  if ((await ledger.view('CryptletRegistry', registry, 'isPublished', [more.cryptlet])) === true) return 'there';
  const args = [more.cryptlet, name, version, interfaceId, more.manifestDigest];
  await ledger.send('CryptletRegistry', registry, 'publish', args);
  return 'sent';
}

function hex(bytes: Uint8Array): string {
  return `0x${bytesToHex(bytes)}`;
}
