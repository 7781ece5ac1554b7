/** `uplink` or `uplinks`: the brokers that lead to oracles, and the logs whose receipts count. */
import { bytesToHex, parseHex } from '@coldproof/wire';
import {
  described,
  integer,
  list,
  name,
  oneOf,
  optional,
  path,
  record,
  text,
  type Field,
  type Formed,
  type Place,
} from './config-field.ts';
import { environmentName, secretOf, type SecretSource } from './config-secret.ts';

export type TlsConfig = {
  /** CAs that may vouch for the server; the system's without it. */
  readonly caFile: string | undefined;
  /** The client certificate, with its chain, and its key: both or neither. */
  readonly certFile: string | undefined;
  readonly keyFile: string | undefined;
  /** The name that the server's certificate must have, if it is not the host of the URL. */
  readonly serverName: string | undefined;
};

export type UplinkConfig = {
  /** The host and port of the URL unless it says otherwise. */
  readonly name: string;
  readonly url: string;
  readonly mqtt: '3.1.1' | 5;
  readonly username: string | undefined;
  readonly password: SecretSource | undefined;
  readonly tls: TlsConfig | undefined;
  /** Ed25519, 32 bytes each: the only keys whose receipts count. Several oracles may share a broker. */
  readonly logPublicKeys: readonly Uint8Array[];
  readonly order: 'in-order' | 'live-first';
  /** Deflate envelopes on the road; its oracles must know the form. */
  readonly compress: boolean;
  /** Batches on their way to a log without a receipt. */
  readonly windowBatches: number;
  readonly resendSec: number;
  readonly reconnectSecMax: number;
};

export const uplinksMax = 16;
export const logsMax = 64;

const logPublicKey: Field<Uint8Array> = described(
  { type: 'string', pattern: '^[0-9a-f]{64}$' },
  (value, place) =>
    (typeof value === 'string' ? parseHex(value, 32) : undefined) ??
    place.problem(value, '64 lower-case hex digits, in quotes: the Ed25519 key of the log'),
);

const mqttVersion: Field<UplinkConfig['mqtt']> = oneOf<'3.1.1' | 5>('3.1.1', 5);
const order: Field<UplinkConfig['order']> = oneOf<'in-order' | 'live-first'>('in-order', 'live-first');

const flag: Field<boolean> = described({ type: 'boolean' }, (value, place) =>
  typeof value === 'boolean' ? value : place.problem(value, 'true or false'),
);

const tls: Field<TlsConfig> = record(
  {
    caFile: optional(path),
    certFile: optional(path),
    keyFile: optional(path),
    serverName: optional(text(/^[A-Za-z0-9.-]{1,253}$/, 'a host name')),
  },
  ({ caFile, certFile, keyFile, serverName }, place) => {
    if (caFile === null || certFile === null || keyFile === null || serverName === null) return null;
    if ((certFile === undefined) === (keyFile === undefined)) return { caFile, certFile, keyFile, serverName };
    const missing = certFile === undefined ? 'certFile' : 'keyFile';
    return place.key(missing).problem(undefined, 'certFile and keyFile, or neither');
  },
);

export const uplink: Field<UplinkConfig> = record(
  {
    name: optional(name),
    url: text(/^mqtts?:\/\/[A-Za-z0-9.:[\]-]{1,253}\/?$/, 'mqtt://host:port or mqtts://host:port, no password in it'),
    mqtt: optional(mqttVersion, '3.1.1'),
    username: optional(text(/^[^\0]{1,128}$/, '1 to 128 characters')),
    passwordEnv: optional(environmentName),
    passwordFile: optional(path),
    tls: optional(tls),
    logPublicKey: optional(logPublicKey),
    logPublicKeys: optional(list(logPublicKey, 1, logsMax)),
    order: optional(order, 'in-order'),
    compress: optional(flag, false),
    windowBatches: optional(integer(1, 1_024), 16),
    resendSec: optional(integer(1, 3_600), 10),
    reconnectSecMax: optional(integer(1, 3_600), 30),
  },
  (formed, place) => {
    const { username, passwordEnv, passwordFile, name: given, url, mqtt, tls, order, compress } = formed;
    const { windowBatches, resendSec, reconnectSecMax } = formed;
    // A client certificate may stand for the password.
    const isNamed = passwordEnv !== undefined || passwordFile !== undefined || (username && !tls?.certFile);
    const password = isNamed ? secretOf('password', { env: passwordEnv, file: passwordFile }, place) : undefined;
    const logPublicKeys = keysOf(formed, place);
    if (tls && url?.startsWith('mqtt:')) return place.key('url').problem(url, 'mqtts://host:port, since there is tls');
    if (given === null || url === null || mqtt === null || username === null || password === null) return null;
    if (tls === null || logPublicKeys === null || order === null || compress === null) return null;
    if (windowBatches === null || resendSec === null || reconnectSecMax === null) return null;
    const name = given ?? url.replace(/^mqtts?:\/\/|\/$/g, '');
    const timing = { windowBatches, resendSec, reconnectSecMax };
    return { name, url, mqtt, username, password, tls, logPublicKeys, order, compress, ...timing };
  },
);

type Keys = { logPublicKey: Uint8Array | undefined | null; logPublicKeys: readonly Uint8Array[] | undefined | null };

function keysOf({ logPublicKey: one, logPublicKeys: several }: Keys, place: Place): readonly Uint8Array[] | null {
  if (one === null || several === null) return null;
  if (one !== undefined && several === undefined) return [one];
  if (several !== undefined && one === undefined) return several;
  return place.key('logPublicKey').problem(undefined, 'one of logPublicKey and logPublicKeys, and not both');
}

type Ways = Formed<{
  uplink: Field<UplinkConfig | undefined>;
  uplinks: Field<readonly UplinkConfig[] | undefined>;
  receiptsMin: Field<number | undefined>;
}>;

/** The one form and the other as one; and what uplinks must be to each other. */
export function uplinksOf(
  { uplink: one, uplinks: several, receiptsMin }: Ways,
  place: Place,
): { uplinks: readonly UplinkConfig[]; receiptsMin: number } | null {
  if (one === null || several === null || receiptsMin === null) return null;
  if ((one === undefined) === (several === undefined)) {
    return place.key('uplink').problem(undefined, 'one of uplink and uplinks, and not both');
  }
  const uplinks = several ?? [one!];
  const names = new Set<string>();
  const keys = new Set<string>();
  let problems = 0;
  uplinks.forEach(({ name, logPublicKeys }, i) => {
    const at = several === undefined ? place.key('uplink') : place.key('uplinks').key(i);
    if (names.has(name)) {
      problems += 1;
      at.key('name').problem(name, 'a name that no other uplink has');
    }
    names.add(name);
    for (const key of logPublicKeys.map(bytesToHex)) {
      // One log by two ways would be one promise counted twice.
      if (keys.has(key)) {
        problems += 1;
        at.key('logPublicKeys').problem(key, 'a key that is nowhere else');
      }
      keys.add(key);
    }
  });
  if (receiptsMin !== undefined && receiptsMin > keys.size) {
    return place.key('receiptsMin').problem(receiptsMin, `at most the number of logs, ${keys.size}`);
  }
  return problems === 0 ? { uplinks, receiptsMin: receiptsMin ?? keys.size } : null;
}
