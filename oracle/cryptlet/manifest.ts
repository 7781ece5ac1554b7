/**
 * What a cryptlet says of itself. Parties sign a cryptlet's digest, which covers all of this: two values of one
 * parameter are two cryptlets.
 */
import { accept, bytesToHex, hexToBytes, isCborArray, reject, type Cbor, type Verdict } from '@coldproof/wire';
import { parseInterface } from './interface.ts';
import { channelsMax, parametersMax } from './limits.ts';

/** When it is run. Device time is that of the samples. */
export type Trigger =
  /** With each batch that the log takes. */
  | { readonly on: 'batch' }
  /** With the first batch that reaches the next multiple of everySec since dispatch. */
  | { readonly on: 'interval'; readonly everySec: number }
  /** Once, when the order is delivered. */
  | { readonly on: 'delivery' };

export type Parameter = {
  readonly name: string;
  readonly min: number;
  readonly max: number;
  /** What the program gets. An author's own is a proposal: whoever binds the program may set another in the bounds. */
  readonly value: number;
};

export type Manifest = {
  /** As in the registry: at most 31 characters. */
  readonly name: string;
  readonly version: number;
  readonly interface: string;
  /** What it reads, ascending. */
  readonly channels: readonly number[];
  readonly trigger: Trigger;
  /** How far back it reads from the last sample; 0: from dispatch on. */
  readonly windowSec: number;
  readonly parameters: readonly Parameter[];
  /** The account that publishes, 0x-hex of 20 bytes in lower case. */
  readonly publisher: string;
};

export type ManifestReason = 'manifest-malformed';

const triggers = ['batch', 'interval', 'delivery'] as const;
const uint32Max = 0xffff_ffff;

/** The manifest's one form in bytes: arrays in this order. */
export function manifestItem(manifest: Manifest): Cbor {
  const { name, version, channels, trigger, windowSec, parameters, publisher } = manifest;
  return [
    name,
    version,
    manifest.interface,
    channels,
    [triggers.indexOf(trigger.on), trigger.on === 'interval' ? trigger.everySec : 0],
    windowSec,
    parameters.map(({ name, min, max, value }) => [name, min, max, value]),
    hexToBytes(publisher.slice(2)),
  ];
}

export function readManifestItem(item: Cbor | undefined): Verdict<Manifest, ManifestReason> {
  if (item === undefined || !isCborArray(item) || item.length !== 8) return malformed('expected an array of 8');
  const [name, version, text, channels, trigger, windowSec, parameters, publisher] = item as readonly unknown[];
  if (!(publisher instanceof Uint8Array)) return malformed('publisher: expected 20 bytes');
  return checkManifest({
    name,
    version,
    interface: text,
    channels,
    trigger: triggerOf(trigger),
    windowSec,
    parameters: list(parameters).map((each) => {
      const [name, min, max, value] = list(each);
      return { name, min, max, value };
    }),
    publisher: `0x${bytesToHex(publisher)}`,
  });
}

/** From bytes or from an author's file: the same checks. */
export function checkManifest(manifest: Record<keyof Manifest, unknown>): Verdict<Manifest, ManifestReason> {
  const { name, version, channels, windowSec, publisher } = manifest;
  if (typeof name !== 'string' || !/^[a-z][a-z0-9]*(-[a-z0-9]+)*$/.test(name) || name.length > 31) {
    return malformed(`name: expected at most 31 of a-z, 0-9 and "-", got ${JSON.stringify(name)}`);
  }
  if (!isInteger(version, 1, uint32Max)) return malformed(`version: expected 1 to ${uint32Max}`);
  const parsed = typeof manifest.interface === 'string' ? parseInterface(manifest.interface) : undefined;
  if (parsed === undefined) return malformed('interface: expected a text');
  if (!parsed.ok) return malformed(parsed.detail);
  if (!isAscending(channels)) return malformed(`channels: expected 1 to ${channelsMax} of 1 to 255, ascending`);
  const trigger = checkTrigger(manifest.trigger);
  if (trigger === undefined) return malformed(`trigger: expected batch, delivery or everySec of 1 to ${uint32Max}`);
  if (!isInteger(windowSec, 0, uint32Max)) return malformed(`windowSec: expected 0 to ${uint32Max}`);
  const parameters = checkParameters(manifest.parameters);
  if (!parameters.ok) return parameters;
  if (typeof publisher !== 'string' || !/^0x[0-9a-f]{40}$/.test(publisher)) {
    return malformed('publisher: expected 0x-hex of 20 bytes in lower case');
  }
  return accept({
    name,
    version,
    interface: manifest.interface as string,
    channels,
    trigger,
    windowSec,
    parameters: parameters.value,
    publisher,
  });
}

function checkParameters(items: unknown): Verdict<Parameter[], ManifestReason> {
  if (!Array.isArray(items) || items.length > parametersMax) {
    return malformed(`parameters: expected at most ${parametersMax}`);
  }
  const parameters: Parameter[] = [];
  for (const item of items as readonly unknown[]) {
    const { name, min, max, value } = (item ?? {}) as Record<keyof Parameter, unknown>;
    if (typeof name !== 'string' || !/^[a-z][A-Za-z0-9]{0,63}$/.test(name)) {
      return malformed(`parameter: expected a name in camelCase, got ${JSON.stringify(name)}`);
    }
    if (parameters.some((each) => each.name === name)) return malformed(`parameter ${name} stands twice`);
    const least = Number.MIN_SAFE_INTEGER;
    if (!isInteger(min, least) || !isInteger(max, min)) return malformed(`parameter ${name}: expected min <= max`);
    if (!isInteger(value, min, max)) {
      return malformed(`parameter ${name}: expected ${min} to ${max}, got ${String(value)}`);
    }
    parameters.push({ name, min, max, value });
  }
  return accept(parameters);
}

function checkTrigger(trigger: unknown): Trigger | undefined {
  const { on, everySec } = (trigger ?? {}) as { on?: unknown; everySec?: unknown };
  if (on === 'batch' || on === 'delivery') return everySec === undefined ? { on } : undefined;
  return on === 'interval' && isInteger(everySec, 1, uint32Max) ? { on, everySec } : undefined;
}

function triggerOf(item: unknown): unknown {
  const [kind, everySec, ...more] = list(item);
  if (more.length > 0 || !isInteger(kind, 0, triggers.length - 1)) return undefined;
  const on = triggers[kind]!;
  if (on === 'interval') return { on, everySec };
  return everySec === 0 ? { on } : undefined;
}

function isAscending(channels: unknown): channels is number[] {
  if (!Array.isArray(channels) || channels.length < 1 || channels.length > channelsMax) return false;
  return (channels as readonly unknown[]).every((each, i) => {
    const before = i === 0 ? 0 : (channels[i - 1] as number);
    return isInteger(each, before + 1, 255);
  });
}

function isInteger(value: unknown, min: number, max = Number.MAX_SAFE_INTEGER): value is number {
  return typeof value === 'number' && Number.isSafeInteger(value) && value >= min && value <= max;
}

function list(item: unknown): readonly unknown[] {
  return Array.isArray(item) ? item : [];
}

function malformed(detail: string) {
  return reject('manifest-malformed', `manifest: ${detail}`);
}
