/** Secrets come from the environment or from a file (as systemd's credentials do), never from the configuration. */
import { readFileSync } from 'node:fs';
import type { AgentConfig } from './config.ts';
import type { SecretSource } from './config-secret.ts';
import { describeError, OperatingError } from './operating-error.ts';

/** Undefined and left out where the configuration needs none. */
export type KeySecrets = {
  readonly passphrase: string | undefined;
  /** By name of a device whose key is in a token. */
  readonly pins: ReadonlyMap<string, string>;
};

export type Secrets = KeySecrets & {
  /** By name of the uplink; only those that have one. */
  readonly uplinkPasswords: ReadonlyMap<string, string>;
  /** By username of the local broker. */
  readonly sensorPasswords: ReadonlyMap<string, string>;
};

type Environment = { readonly [name: string]: string | undefined };

/** For commands that need the keys and nothing else. */
export function readKeySecrets(config: AgentConfig, environment: Environment): KeySecrets {
  return readAll(environment, (read) => keySecretsOf(config, read));
}

/** All that is missing is told in one answer. */
export function readSecrets(config: AgentConfig, environment: Environment): Secrets {
  return readAll(environment, (read) => ({
    ...keySecretsOf(config, read),
    uplinkPasswords: new Map(
      config.uplinks.flatMap(({ name, password }) =>
        password === undefined ? [] : [[name, read(`password of uplink ${name}`, password)]],
      ),
    ),
    sensorPasswords: new Map(
      (config.sensorBroker?.credentials ?? []).map(({ username, password }) => [
        username,
        read(`sensorBroker password of ${username}`, password),
      ]),
    ),
  }));
}

type Read = (use: string, source: SecretSource) => string;

function keySecretsOf({ passphrase, devices }: AgentConfig, read: Read): KeySecrets {
  return {
    passphrase: passphrase && read('passphrase', passphrase),
    pins: new Map(
      devices.flatMap(({ name, key }) =>
        key.kind === 'pkcs11' ? [[name, read(`PIN of the token of ${name}`, key.pin)] as const] : [],
      ),
    ),
  };
}

function readAll<Found>(environment: Environment, collect: (read: Read) => Found): Found {
  const missing: string[] = [];
  const found = collect((use, source) => {
    const secret = 'env' in source ? environment[source.env] : readFirstLine(source.file, missing);
    if (secret !== undefined && secret !== '') return secret;
    missing.push(`${use}: expected a secret in ${'env' in source ? `$${source.env}` : source.file}, got nothing`);
    return '';
  });
  if (missing.length > 0) throw new OperatingError('secret-missing', missing.join('\n'), { retry: 'never' });
  return found;
}

function readFirstLine(file: string, missing: string[]): string | undefined {
  try {
    return readFileSync(file, 'utf8').split('\n')[0];
  } catch (error) {
    missing.push(describeError(error));
    return undefined;
  }
}
