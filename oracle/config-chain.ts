/** The `chain` section: where the chain is, who pays, how much, and when it counts as final. */
import type { Section } from './config-section.ts';

export type ChainConfig = {
  /** At least one; each may hold a key in its user part, path or query. */
  readonly rpcUrls: readonly string[];
  readonly timeoutMs: number;
  readonly chainId: number;
  readonly contracts: Readonly<Record<'DeviceRegistry' | 'Agreements' | 'Shipments' | 'Fleet', string>>;
  readonly fromBlock: number;
  readonly pollMs: number;
  /** Undefined: the nodes say what is safe and final. */
  readonly finalityBlocks: number | undefined;
  readonly feeWeiMax: bigint;
  readonly spendWeiMaxPerDay: bigint | undefined;
  readonly balanceWeiMin: bigint | undefined;
  readonly resendMs: number;
  readonly bumpMs: number;
  readonly retryMs: number;
};

/** A signer that speaks web3signer's protocol. */
export type SignerConfig = { readonly url: string; readonly address: string; readonly timeoutMs: number };

const gwei = 1_000_000_000n;
const endpointsMax = 16;

export function checkChain(chain: Section): ChainConfig {
  const seconds = (key: string, fallback: number) => chain.integer(key, { least: 1, most: 86_400, fallback }) * 1_000;
  const gweiIn = (key: string) => {
    return chain.has(key) ? BigInt(chain.integer(key, { least: 1, most: Number.MAX_SAFE_INTEGER })) * gwei : undefined;
  };
  return {
    rpcUrls: checkUrls(chain),
    timeoutMs: chain.integer('timeoutSec', { least: 1, most: 300, fallback: 10 }) * 1_000,
    chainId: chain.integer('chainId', { least: 1, most: Number.MAX_SAFE_INTEGER }),
    contracts: checkContracts(chain.section('contracts')),
    fromBlock: chain.integer('fromBlock', { least: 0, most: Number.MAX_SAFE_INTEGER, fallback: 0 }),
    pollMs: chain.integer('pollMs', { least: 10, most: 3_600_000, fallback: 4_000 }),
    finalityBlocks: chain.has('finalityBlocks')
      ? chain.integer('finalityBlocks', { least: 1, most: 100_000 })
      : undefined,
    feeWeiMax: BigInt(chain.integer('feeCapGwei', { least: 1, most: 1_000_000, fallback: 200 })) * gwei,
    spendWeiMaxPerDay: gweiIn('spendMaxGweiPerDay'),
    balanceWeiMin: gweiIn('balanceMinGwei'),
    resendMs: seconds('resendSec', 30),
    bumpMs: seconds('bumpSec', 60),
    retryMs: seconds('retrySec', 5),
  };
}

/** `rpcUrl` is the short form of a list of one. */
function checkUrls(chain: Section): string[] {
  const key = chain.has('rpcUrls') ? 'rpcUrls' : 'rpcUrl';
  if (key === 'rpcUrls' && chain.has('rpcUrl')) {
    chain.problem('rpcUrl', 'both rpcUrl and rpcUrls', 'one of them');
  }
  const urls = key === 'rpcUrls' ? chain.texts(key) : [chain.text(key)].filter((each) => each !== '');
  if (key === 'rpcUrls' && (urls.length < 1 || urls.length > endpointsMax)) {
    chain.problem(key, urls.length, `1 to ${endpointsMax} URLs`);
  }
  for (const [i, url] of urls.entries()) {
    // What is wrong may be all but its key: the value is told by its place in the list.
    const isHttp = /^https?:$/.test(URL.canParse(url) ? new URL(url).protocol : '');
    if (!isHttp)
      chain.problem(key, key === 'rpcUrl' ? shortUrl(url) : `${shortUrl(url)}, entry ${i}`, 'an http(s) URL');
    if (urls.indexOf(url) !== i) chain.problem(key, `entry ${i}`, 'URLs that are each given once');
  }
  return urls;
}

function checkContracts(contracts: Section): ChainConfig['contracts'] {
  return {
    DeviceRegistry: addressIn(contracts, 'DeviceRegistry'),
    Agreements: addressIn(contracts, 'Agreements'),
    Shipments: addressIn(contracts, 'Shipments'),
    Fleet: addressIn(contracts, 'Fleet'),
  };
}

export function checkSigner(root: Section): SignerConfig | undefined {
  const chain = root.section('chain');
  if (!chain.has('signer')) return undefined;
  if (chain.has('transmitterKeyFile')) {
    chain.problem('signer', 'both signer and transmitterKeyFile', 'one of them');
  }
  if (root.has('quorum') && root.section('quorum').text('attestWith', 'own-key') === 'transmitter') {
    chain.problem(
      'signer',
      'quorum.attestWith: transmitter',
      'attestWith: own-key, since a signer signs transactions only',
    );
  }
  const signer = chain.section('signer');
  const url = signer.text('url');
  if (url !== '' && !isSigner(url)) {
    signer.problem('url', shortUrl(url), 'an https URL, or http to this machine, without user and password');
  }
  const timeoutMs = signer.integer('timeoutSec', { least: 1, most: 300, fallback: 10 }) * 1_000;
  return { url, address: addressIn(signer, 'address'), timeoutMs };
}

/** Whoever can reach a signer, or speak in its place, is asked for signatures: not over an open line. */
function isSigner(text: string): boolean {
  if (!URL.canParse(text)) return false;
  const { protocol, hostname, username, password } = new URL(text);
  if (username !== '' || password !== '') return false;
  const isHere = hostname === 'localhost' || hostname === '[::1]' || /^127\.\d+\.\d+\.\d+$/.test(hostname);
  return protocol === 'https:' || (protocol === 'http:' && isHere);
}

function addressIn(section: Section, name: string): string {
  const text = section.text(name);
  if (text !== '' && !/^0x[0-9a-fA-F]{40}$/.test(text)) section.problem(name, text, '0x and 40 hex digits');
  return text;
}

/** Scheme and host of a URL: the rest may be a key. */
function shortUrl(text: string): string {
  return URL.canParse(text) ? `${new URL(text).protocol}//${new URL(text).host}` : 'no URL';
}
