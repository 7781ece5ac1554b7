/** The configuration files of the demonstration: the same YAML that a field engineer and an operator write. */
import { join } from 'node:path';
import { stringify as stringifyYaml } from 'yaml';
import type { DeployedContract } from '../development-chain.ts';

export type Ports = {
  readonly rpc: number;
  readonly broker: number;
  readonly oracleHttp: number;
  readonly sensorBroker: number;
  readonly agentHttp: number;
};

export const gatewayUser = 'gateway-7';

const loopback = '127.0.0.1';

/** Of the pty pair that stands for the cable between gateway and reefer unit. */
export const ttyGateway = 'tty-gateway';
export const ttyReefer = 'tty-reefer';

type AgentFile = {
  readonly dir: string;
  readonly truck: string;
  readonly ports: Ports;
  readonly uplinkPort: number;
  readonly isSerial: boolean;
  /** Ed25519, hex. */
  readonly logPublicKey: string;
};

export function agentConfig({ dir, truck, ports, uplinkPort, isSerial, logPublicKey }: AgentFile): string {
  const senml = (name: string) => ({ mqtt: { topic: `sensors/${truck}`, name: `${truck}/${name}` } });
  const unit = (register: number, more: object = {}) => ({
    modbus: { line: 'unit', function: 4, register, type: 'int16', invalid: [0x7fff], ...more },
  });
  const temperature = { unit: 'Cel', range: [-40, 70] };
  const ofUnit = (name: string, register: number) => ({
    ...{ channel: name, ...temperature },
    ...(isSerial ? unit(register, { scale: 0.1 }) : senml(name)),
  });
  return formatYaml({
    stateDir: join(dir, 'agent'),
    passphraseEnv: 'COLDPROOF_PASSPHRASE',
    devices: [
      {
        name: truck,
        sealSamplesMax: 15,
        sealAgeSecMax: 900,
        sensors: [
          ofUnit('setpoint', 0),
          ofUnit('supply-air', 1),
          ofUnit('return-air', 2),
          { channel: 'unit-mode', ...(isSerial ? unit(4) : senml('unit-mode')) },
          {
            ...{ channel: 'cargo-probe-1', ...temperature, ...senml('cargo-probe-1') },
            // A DS18B20 gives -127 when it is unplugged and 85 when it has not measured yet.
            ...{ invalid: [-127, 85], stuckSamples: 10, spikeCentiCPerMin: 500 },
          },
          { channel: 'door', ...senml('door') },
        ],
      },
    ],
    ...(isSerial
      ? {
          lines: [
            { name: 'unit', path: join(dir, ttyGateway), baud: 19_200, unitId: 1, pollSec: 60, timeoutMs: 1_000 },
          ],
        }
      : {}),
    sensorBroker: {
      ...{ host: loopback, port: ports.sensorBroker },
      credentials: [{ username: truck, passwordEnv: 'SENSOR_PASSWORD', topics: [`sensors/${truck}`] }],
    },
    uplink: {
      url: `mqtt://${loopback}:${uplinkPort}`,
      ...{ username: gatewayUser, passwordEnv: 'UPLINK_PASSWORD', logPublicKey },
      ...{ windowBatches: 16, resendSec: 2, reconnectSecMax: 2 },
    },
    http: { host: loopback, port: ports.agentHttp },
  });
}

type OracleFile = {
  readonly dir: string;
  readonly ports: Ports;
  readonly rpcUrl: string;
  readonly chainId: number;
  /** Hex. */
  readonly device: string;
  readonly contracts: Readonly<Record<string, DeployedContract>>;
};

export function oracleConfig({ dir, ports, rpcUrl, chainId, device, contracts }: OracleFile): string {
  const { DeviceRegistry, Agreements, Shipments, Fleet } = contracts;
  return formatYaml({
    stateDir: join(dir, 'oracle'),
    broker: {
      ...{ host: loopback, port: ports.broker },
      credentials: [{ username: gatewayUser, passwordEnv: 'UPLINK_PASSWORD', devices: [device] }],
    },
    log: { origin: 'coldproof.example/demonstration' },
    chain: {
      ...{ rpcUrl, chainId, fromBlock: 0, pollMs: 200, passphraseEnv: 'COLDPROOF_PASSPHRASE' },
      contracts: {
        DeviceRegistry: DeviceRegistry!.address,
        Agreements: Agreements!.address,
        Shipments: Shipments!.address,
        Fleet: Fleet!.address,
      },
    },
    http: { host: loopback, port: ports.oracleHttp },
  });
}

/** The programs refuse YAML aliases, which is how a bomb is made. */
function formatYaml(configuration: object): string {
  return stringifyYaml(configuration, { aliasDuplicateObjects: false });
}
