/** The `broker` section: the embedded broker, or with `url` a broker that others run and several oracles may share. */
import { readFileSync } from 'node:fs';
import { createSecureContext } from 'node:tls';
import { parseHex } from '@coldproof/wire';
import type { Section } from './config-section.ts';
import { describeError } from './operating-error.ts';

export type BrokerCredential = {
  readonly username: string;
  /** Undefined where the client certificate is enough. */
  readonly password: string | undefined;
  /** Devices in hex that this username may speak for. */
  readonly devices: readonly string[];
  /** Devices in hex that this username may send configurations and commands to, and hear about. */
  readonly owns?: readonly string[];
};

/** Contents of PEM files. */
export type BrokerTls = {
  readonly cert: Buffer;
  readonly key: Buffer;
  /** With it, each client must show a certificate of this CA, and its common name is its username. */
  readonly clientCa: Buffer | undefined;
};

export type EmbeddedBroker = {
  readonly host: string;
  /** 0 for any free one. */
  readonly port: number;
  readonly credentials: readonly BrokerCredential[];
  readonly tls?: BrokerTls | undefined;
};

export type ExternalBroker = {
  readonly url: string;
  readonly username: string;
  readonly password: string;
  readonly tls?: ClientTls | undefined;
};

/** Contents of PEM files; the system's CAs without `ca`. */
export type ClientTls = {
  readonly ca: Buffer | undefined;
  readonly cert: Buffer | undefined;
  readonly key: Buffer | undefined;
  readonly serverName: string | undefined;
};

const portMax = 65_535;

export function checkBroker(broker: Section, loopback: string): EmbeddedBroker | ExternalBroker {
  if (broker.has('url')) return checkExternal(broker);
  const tls = broker.has('tls') ? checkBrokerTls(broker.section('tls')) : undefined;
  return {
    host: broker.text('host', loopback),
    port: broker.integer('port', { least: 0, most: portMax, fallback: tls === undefined ? 1883 : 8883 }),
    credentials: checkCredentials(broker, tls?.clientCa !== undefined),
    tls,
  };
}

export function checkExternal(broker: Section): ExternalBroker {
  const url = broker.text('url');
  const isUrl = /^mqtts?:\/\/[A-Za-z0-9.:[\]-]{1,253}\/?$/.test(url);
  if (!isUrl && url !== '') broker.problem('url', url, 'mqtt://host:port or mqtts://host:port, no password in it');
  const tls = broker.has('tls') ? checkClientTls(broker.section('tls')) : undefined;
  if (tls !== undefined && url.startsWith('mqtt:')) broker.problem('url', url, 'mqtts://host:port, since there is tls');
  return { url, username: broker.text('username'), password: broker.secret('passwordEnv'), tls };
}

function checkBrokerTls(tls: Section): BrokerTls {
  const cert = readPem(tls, 'certFile') ?? Buffer.alloc(0);
  const key = readPem(tls, 'keyFile') ?? Buffer.alloc(0);
  const clientCa = tls.has('clientCaFile') ? readPem(tls, 'clientCaFile') : undefined;
  checkPem(tls, { cert, key, ca: clientCa });
  return { cert, key, clientCa };
}

function checkClientTls(tls: Section): ClientTls {
  const read = (key: string) => (tls.has(key) ? readPem(tls, key) : undefined);
  const [ca, cert, key] = [read('caFile'), read('certFile'), read('keyFile')];
  if (tls.has('certFile') !== tls.has('keyFile'))
    tls.problem('certFile', undefined, 'certFile and keyFile, or neither');
  checkPem(tls, { ca, cert, key });
  return { ca, cert, key, serverName: tls.has('serverName') ? tls.text('serverName') : undefined };
}

function readPem(tls: Section, key: string): Buffer | undefined {
  const path = tls.text(key);
  if (path === '') return undefined;
  try {
    return readFileSync(path);
  } catch (error) {
    tls.problem(key, path, `a PEM file that can be read (${describeError(error)})`);
    return undefined;
  }
}

/** OpenSSL says whether they are PEM, and whether the key is the certificate's. */
function checkPem(tls: Section, parts: { ca: Buffer | undefined; cert: Buffer | undefined; key: Buffer | undefined }) {
  if ([parts.cert, parts.key].some((part) => part?.length === 0)) return;
  try {
    createSecureContext(parts);
  } catch (error) {
    tls.problem(
      'certFile',
      tls.text('certFile', 'nothing'),
      `PEM files that belong together (${describeError(error)})`,
    );
  }
}

function checkCredentials(broker: Section, hasCertificates: boolean): readonly BrokerCredential[] {
  const usernames = new Set<string>();
  const holders = new Map<string, string>();
  return broker.list('credentials').map((entry) => {
    const username = entry.text('username');
    if (usernames.has(username)) entry.problem('username', username, 'a name that no other entry has');
    usernames.add(username);
    const owns = entry.texts('owns', []);
    for (const device of owns) {
      if (parseHex(device, 32) === undefined) entry.problem('owns', device, '64 lower-case hex digits');
    }
    // An owner has devices to speak to, and none to speak for.
    const devices = entry.texts('devices', owns.length > 0 ? [] : undefined);
    for (const device of devices) {
      if (parseHex(device, 32) === undefined) entry.problem('devices', device, '64 lower-case hex digits');
      const holder = holders.get(device);
      if (holder !== undefined) entry.problem('devices', device, `a device that ${holder} does not have`);
      holders.set(device, username);
    }
    const isCertified = hasCertificates && !entry.has('passwordEnv');
    return { username, password: isCertified ? undefined : entry.secret('passwordEnv'), devices, owns };
  });
}
