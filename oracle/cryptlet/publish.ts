/** Signs a cryptlet with the publisher's account and enters it into the registry. */
import { writeFileSync } from 'node:fs';
import { bytesToHex, hexToBytes } from '@coldproof/wire';
import type { Address } from '../chain-abi.ts';
import { readTransmitter, type Signatory } from '../chain-account.ts';
import { Ledger } from '../deployment/ledger.ts';
import { OperatingError } from '../operating-error.ts';
import { readSecretFile } from '../secret-file.ts';
import { encodePackage, publicationDigest, type Cryptlet } from './cryptlet.ts';
import { readFolder, type Choices } from './folder.ts';
import { publicationOf, type Publication } from './publication.ts';

export type PublishOrder = {
  readonly folder: string;
  readonly values: Choices['values'];
  readonly keyFile: string;
  readonly passphrase: string;
  readonly rpcUrl: string;
  readonly chainId: number;
  readonly registry: Address;
  /** Where the package goes. */
  readonly out: string;
};

export type Published = Publication & { readonly publisher: Address; readonly outcome: 'sent' | 'there' };

/** Sends nothing when it is there already. Throws OperatingError as keys, files and the ledger do. */
export async function publish(order: PublishOrder): Promise<Published> {
  const { folder, values, keyFile, passphrase, rpcUrl, chainId, registry, out } = order;
  const account = await readTransmitter(keyFile, readSecretFile(keyFile), passphrase);
  const cryptlet = readFolder(folder, { publisher: account.address, values });
  const ledger = new Ledger(rpcUrl, chainId, account);
  try {
    // On disk before it is on the chain: who publishes a digest must have what it is of.
    writeFileSync(out, encodePackage(cryptlet, signCryptlet(cryptlet, account)));
    const publication = publicationOf(cryptlet);
    return { ...publication, publisher: account.address, outcome: await enter(publication, ledger, registry) };
  } finally {
    ledger.close();
  }
}

/** The publisher's signature, for the package. */
function signCryptlet({ digest }: Cryptlet, publisher: Signatory): Uint8Array {
  return hexToBytes(publisher.signDigest(`0x${bytesToHex(publicationDigest(digest))}`).slice(2));
}

async function enter(publication: Publication, ledger: Ledger, registry: Address): Promise<'sent' | 'there'> {
  const { cryptlet, name, version, interfaceId, manifestDigest } = publication;
  await ledger.checkChainId();
  if ((await ledger.isContract('CryptletRegistry', registry)) !== true) {
    const message = `registry ${registry}: expected a CryptletRegistry of this build`;
    throw new OperatingError('deployment-differs', message, { retry: 'never' });
  }
  if ((await ledger.view('CryptletRegistry', registry, 'isPublished', [cryptlet])) === true) return 'there';
  const args = [cryptlet, name, version, interfaceId, manifestDigest];
  await ledger.send('CryptletRegistry', registry, 'publish', args);
  return 'sent';
}
