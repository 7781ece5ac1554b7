/** The `quorum` section: the consortium that a node is one of. */
import { join } from 'node:path';
import { bytesToHex, hexToBytes, oraclesMax, parseHex } from '@coldproof/wire';
import { checkExternal, type ExternalBroker } from './config-broker.ts';
import type { Section } from './config-section.ts';
import type { PeerSettings } from './network/peers.ts';

export type QuorumConfig = {
  readonly contracts: Readonly<Record<'OracleSet' | 'Disputes' | 'AnchorLog', string>>;
  readonly f: number;
  readonly nodes: readonly PeerSettings[];
  /** Undefined: the account that pays attests, too. */
  readonly attestationKeyFile: string | undefined;
  /** The broker on which the nodes speak. */
  readonly broker: ExternalBroker;
  readonly cryptletsDir: string;
  readonly turnMs: number;
  readonly pollMs: number;
  readonly anchorMs: number;
  readonly validSec: number;
};

const daySec = 86_400;

/** What `init` makes a key for. */
export function checkAttestationKey(root: Section, stateDir: string): string | undefined {
  if (!root.has('quorum')) return undefined;
  const quorum = root.section('quorum');
  const attestWith = quorum.text('attestWith', 'own-key');
  if (attestWith !== 'own-key' && attestWith !== 'transmitter') {
    quorum.problem('attestWith', attestWith, 'own-key or transmitter');
  }
  const file = quorum.text('attestationKeyFile', join(stateDir, 'attestation-key.json'));
  return attestWith === 'transmitter' ? undefined : file;
}

export function checkQuorum(
  root: Section,
  { stateDir, attestationKeyFile }: { readonly stateDir: string; readonly attestationKeyFile: string | undefined },
): QuorumConfig | undefined {
  if (!root.has('quorum')) return undefined;
  const quorum = root.section('quorum');
  const f = quorum.integer('f', { least: 1, most: (oraclesMax - 1) / 3 });
  const nodes = checkNodes(quorum);
  if (nodes.length !== 3 * f + 1) quorum.problem('nodes', nodes.length, `${3 * f + 1} nodes, 3f + 1`);
  const seconds = (key: string, fallback: number, most: number) =>
    quorum.integer(key, { least: 1, most, fallback }) * 1_000;
  return {
    contracts: {
      OracleSet: address(quorum, 'oracleSet'),
      Disputes: address(quorum, 'disputes'),
      AnchorLog: address(quorum, 'anchorLog'),
    },
    f,
    nodes,
    attestationKeyFile,
    broker: checkExternal(quorum.section('broker')),
    cryptletsDir: quorum.text('cryptletsDir', join(stateDir, 'cryptlets')),
    turnMs: seconds('roundSec', 15, 3_600),
    pollMs: seconds('pollSec', 5, 3_600),
    anchorMs: seconds('anchorSec', 3_600, daySec),
    validSec: quorum.integer('reportValidSec', { least: 600, most: 30 * daySec, fallback: daySec }),
  };
}

function checkNodes(quorum: Section): PeerSettings[] {
  const seen = new Set<string>();
  return quorum.list('nodes').map((entry) => {
    const once = (key: string, text: string) => {
      if (seen.has(`${key} ${text}`)) entry.problem(key, text, `a ${key} that no other node has`);
      seen.add(`${key} ${text}`);
    };
    const name = entry.text('name');
    // It stands in signature lines (c2sp.org/signed-note): no spaces and no plus signs.
    if (name !== '' && !/^[A-Za-z0-9._/-]{1,100}$/.test(name)) entry.problem('name', name, 'letters, digits and ._/-');
    const logPublicKey = parseHex(entry.text('logPublicKey'), 32);
    if (logPublicKey === undefined) entry.problem('logPublicKey', undefined, '64 lower-case hex digits');
    const signer = address(entry, 'address');
    const origin = entry.text('origin');
    const url = entry.has('url') ? entry.text('url') : undefined;
    if (url !== undefined && !/^https?:$/.test(URL.canParse(url) ? new URL(url).protocol : '')) {
      entry.problem('url', url, 'an http(s) URL');
    }
    once('name', name);
    once('address', signer.toLowerCase());
    once('origin', origin);
    if (logPublicKey !== undefined) once('logPublicKey', bytesToHex(logPublicKey));
    return {
      name,
      address: /^0x[0-9a-fA-F]{40}$/.test(signer) ? hexToBytes(signer.slice(2).toLowerCase()) : new Uint8Array(20),
      logPublicKey: logPublicKey ?? new Uint8Array(32),
      origin,
      ...(url === undefined ? {} : { url }),
    };
  });
}

function address(section: Section, key: string): string {
  const text = section.text(key);
  if (text !== '' && !/^0x[0-9a-fA-F]{40}$/.test(text)) section.problem(key, text, '0x and 40 hex digits');
  return text;
}
