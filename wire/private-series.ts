/**
 * Series that only chosen parties can read, in one leaf of the batch's tree: the root commits to them as to any other.
 *
 *   private = [channels: [+ uint], commitment: bstr .size 32, wraps: [+ wrap], sealed: bstr]
 *   wrap    = [party: bstr .size 8, enc: bstr .size 32, wrapped: bstr .size 48]
 *
 * `sealed` is [+ series: bstr], in the order of `channels`, encrypted under a content key; each wrap is that key for
 * one party (HPKE). Channels that go to the same parties share a leaf, and so their wraps. An AEAD does not commit to
 * its key: with two keys, one ciphertext could say one thing to the buyer and another to the carrier. So the leaf has a
 * commitment to the content key, and who opens checks it.
 */
import { chacha20poly1305 } from '@noble/ciphers/chacha.js';
import { x25519 } from '@noble/curves/ed25519.js';
import { expand } from '@noble/hashes/hkdf.js';
import { sha256 } from '@noble/hashes/sha2.js';
import type { Batch } from './batch.ts';
import { bytesEqual, bytesToHex, utf8ToBytes } from './bytes.ts';
import { decodeCbor, encodeCbor, isCborArray, type Cbor } from './cbor.ts';
import { channels as allChannels, channelName } from './channel.ts';
import { describeValue, isDigest, isUint } from './field.ts';
import { aeadTagBytes, hpkeEncBytes, openAead, openHpke, sealHpke } from './hpke.ts';
import { privateChannelsMax, privatePartiesMax } from './limits.ts';
import { domainTags, privateContext } from './preimage.ts';
import { decodeSeries, encodeSeries, type Series } from './series.ts';
import { accept, assert, reject, type Verdict } from './verdict.ts';

/** The content key for one party. */
export type Wrap = {
  /** partyOf its public key. */
  readonly party: Uint8Array;
  readonly enc: Uint8Array;
  readonly wrapped: Uint8Array;
};

export type PrivateSeries = {
  /** In the order of the series inside. */
  readonly channels: readonly number[];
  readonly commitment: Uint8Array;
  /** Ascending by party. */
  readonly wraps: readonly Wrap[];
  readonly sealed: Uint8Array;
};

/** The batch that a leaf stands in: content and wraps are bound to it. */
export type PrivatePlace = Pick<Batch, 'device' | 'sequence'>;

/** What is to be private, and to whom. */
export type PrivateGroup = {
  readonly channels: readonly number[];
  /** X25519 public keys. */
  readonly parties: readonly Uint8Array[];
};

export type PrivateFormReason =
  /** A leaf that begins like a private one, and is none, or not in its one canonical encoding. */
  'private-malformed';

/** Why who opens it refuses it. The oracle cannot see any of these. */
export type PrivateReason =
  /** No wrap is for this party. */
  | 'private-of-other-parties'
  /** The party's wrap does not open: changed, or of another batch, device or channel. */
  | 'private-wrap-invalid'
  /** The key is not the one that the leaf commits to. */
  | 'private-key-uncommitted'
  /** The key is right and the ciphertext is not its own. */
  | 'private-content-invalid'
  /** Inside are not the canonical series of the channels that the leaf names. */
  | 'private-content-malformed'
  /** A sample lies outside the batch's first and last. */
  | 'private-times-mismatch';

const contentKeyBytes = 32;
export const partyBytes = 8;
const wrappedBytes = contentKeyBytes + aeadTagBytes;
/** A content key encrypts once. */
const onceNonce = new Uint8Array(12);
/** The first byte of an array of four; a plain series is an array of three. */
const firstByte = 0x84;

/** Names a party in a leaf: the first bytes of the digest of its X25519 key. A collision opens nothing. */
export function partyOf(publicKey: Uint8Array): Uint8Array {
  if (publicKey.length !== 32) throw new RangeError(`publicKey: expected 32 bytes, got ${publicKey.length}`);
  return sha256(publicKey).slice(0, partyBytes);
}

/**
 * The leaf for `series`, which are those of the group's channels, in their order. `secret` is 32 random bytes that
 * nobody else has. Each key is drawn from it and from all that is encrypted with it, as in RFC 5297: the same series
 * seal to the same bytes, before and after a crash; and anything else, should a secret ever come back with an old disk
 * or under another list of parties, to other keys.
 */
export function sealPrivate(
  series: readonly Series[],
  { device, sequence, firstSec }: PrivatePlace & Pick<Batch, 'firstSec'>,
  parties: readonly Uint8Array[],
  secret: Uint8Array,
): Uint8Array {
  const channels = series.map(({ channel }) => channel);
  const context = privateContext({ device, sequence }, channels);
  const plaintext = encodeCbor(series.map((each) => encodeSeries(each, firstSec)));
  assert(isChannelList(channels), `channels ${channels.join(', ')} can be private together`);
  assert(parties.length >= 1 && parties.length <= privatePartiesMax, `${parties.length} parties are some`);
  assert(secret.length === 32, `a secret of ${secret.length} bytes has 32`);
  const draw = (what: string, ...more: readonly Uint8Array[]) =>
    expand(sha256, secret, encodeCbor([`${domainTags.private} ${what}`, context, sha256(plaintext), ...more]), 32);
  const contentKey = draw('content key', ...parties);
  const wraps = parties
    .map((publicKey): Cbor[] => {
      const message = { info: context, aad: new Uint8Array(), plaintext: contentKey };
      const { enc, ciphertext } = sealHpke(publicKey, message, draw('ephemeral key', contentKey, publicKey));
      return [partyOf(publicKey), enc, ciphertext];
    })
    .sort(([a], [b]) => (bytesToHex(a as Uint8Array) < bytesToHex(b as Uint8Array) ? -1 : 1));
  const sealed = chacha20poly1305(cipherKey(contentKey), onceNonce, context).encrypt(plaintext);
  return encodeCbor([channels, commitmentOf(contentKey), wraps, sealed]);
}

/** Whether a leaf is to be read by decodePrivate, which then says whether it is one. */
export function seemsPrivate(leaf: Uint8Array): boolean {
  return leaf[0] === firstByte;
}

/** All that anybody can check: canonical or refused. */
export function decodePrivate(bytes: Uint8Array): Verdict<PrivateSeries, PrivateFormReason> {
  const decoded = decodeCbor(bytes);
  if (!decoded.ok) return reject('private-malformed', decoded.detail);
  const item = decoded.value;
  if (!isCborArray(item) || item.length !== 4) return reject('private-malformed', 'expected an array of 4');
  const [channels, commitment, wrapList, sealed] = item;
  const readAll = `1 to ${privateChannelsMax} different channels, all but ${allChannels.readingsDropped}`;
  if (!isCborArray(channels!) || !isChannelList(channels)) return malformed('channels', channels, readAll);
  if (!isDigest(commitment)) return malformed('commitment', commitment, '32 bytes');
  if (!isCborArray(wrapList!) || wrapList.length < 1 || wrapList.length > privatePartiesMax) {
    return malformed('wraps', wrapList, `1 to ${privatePartiesMax}`);
  }
  const wraps: Wrap[] = [];
  for (const each of wrapList) {
    const wrap = wrapOf(each);
    if (wrap === undefined) return malformed('wrap', each, `party, enc, wrapped: ${partyBytes}, 32, 48 bytes`);
    const before = wraps.at(-1);
    if (before !== undefined && bytesToHex(before.party) >= bytesToHex(wrap.party)) {
      return reject('private-malformed', 'wraps: expected parties in ascending order, each once');
    }
    wraps.push(wrap);
  }
  const least = aeadTagBytes + 2;
  if (!(sealed instanceof Uint8Array) || sealed.length < least) return malformed('sealed', sealed, `>= ${least} bytes`);
  return accept({ channels, commitment, wraps, sealed });
}

function wrapOf(item: Cbor): Wrap | undefined {
  if (!isCborArray(item) || item.length !== 3) return undefined;
  const [party, enc, wrapped] = item;
  const isWrap = isBytes(party, partyBytes) && isBytes(enc, hpkeEncBytes) && isBytes(wrapped, wrappedBytes);
  return isWrap ? { party, enc, wrapped } : undefined;
}

/**
 * The content key, as the leaf has it for the holder of `secretKey` (X25519). Who hands it on shows this leaf to
 * another, and nothing else: openPrivateWith checks it against what the device has signed.
 */
export function unwrapContentKey(
  leaf: PrivateSeries,
  place: PrivatePlace,
  secretKey: Uint8Array,
): Verdict<Uint8Array, PrivateReason> {
  const party = partyOf(x25519.getPublicKey(secretKey));
  const wrap = leaf.wraps.find((each) => bytesEqual(each.party, party));
  if (wrap === undefined) {
    const others = leaf.wraps.map((each) => bytesToHex(each.party)).join(', ');
    return reject('private-of-other-parties', `party ${bytesToHex(party)}: expected one of ${others}`);
  }
  const sealed = { enc: wrap.enc, ciphertext: wrap.wrapped };
  const key = openHpke(secretKey, sealed, { info: privateContext(place, leaf.channels), aad: new Uint8Array() });
  if (key === undefined)
    return reject('private-wrap-invalid', `party ${bytesToHex(party)}: its wrap is for another place`);
  return accept(key);
}

/** The series inside. `batch` is the one whose root the leaf leads to: that is for the caller to have checked. */
export function openPrivateWith(
  leaf: PrivateSeries,
  batch: PrivatePlace & Pick<Batch, 'firstSec' | 'lastSec'>,
  contentKey: Uint8Array,
): Verdict<Series[], PrivateReason> {
  if (contentKey.length !== contentKeyBytes || !bytesEqual(commitmentOf(contentKey), leaf.commitment)) {
    return reject('private-key-uncommitted', 'the content key is not the one that the leaf commits to');
  }
  const context = privateContext(batch, leaf.channels);
  const plaintext = openAead(cipherKey(contentKey), onceNonce, context, leaf.sealed);
  if (plaintext === undefined) return reject('private-content-invalid', 'the ciphertext is not of this key and place');
  const decoded = decodeCbor(plaintext);
  if (!decoded.ok) return reject('private-content-malformed', decoded.detail);
  const items = isCborArray(decoded.value) ? decoded.value : [];
  if (items.length !== leaf.channels.length) {
    return reject('private-content-malformed', `expected ${leaf.channels.length} series, got ${items.length}`);
  }
  const opened: Series[] = [];
  for (const [i, channel] of leaf.channels.entries()) {
    const bytes = items[i];
    const series = bytes instanceof Uint8Array ? decodeSeries(bytes, batch.firstSec) : undefined;
    if (series?.ok !== true || series.value.channel !== channel) {
      const why = series === undefined ? 'no byte string' : series.ok ? 'another channel' : series.detail;
      return reject('private-content-malformed', `${channelName(channel)}: ${why}`);
    }
    // Deltas count from first, so none is before it.
    const lastSec = series.value.samples.at(-1)!.timeSec;
    if (lastSec > batch.lastSec) {
      return reject('private-times-mismatch', `${channelName(channel)}: expected <= ${batch.lastSec}, got ${lastSec}`);
    }
    opened.push(series.value);
  }
  return accept(opened);
}

export function openPrivate(
  leaf: PrivateSeries,
  batch: PrivatePlace & Pick<Batch, 'firstSec' | 'lastSec'>,
  secretKey: Uint8Array,
): Verdict<Series[], PrivateReason> {
  const key = unwrapContentKey(leaf, batch, secretKey);
  return key.ok ? openPrivateWith(leaf, batch, key.value) : key;
}

/** RFC 5869 §2.3, both from the one key, each with its own label. */
function commitmentOf(contentKey: Uint8Array): Uint8Array {
  return expand(sha256, contentKey, utf8ToBytes(`${domainTags.private} commitment`), 32);
}

function cipherKey(contentKey: Uint8Array): Uint8Array {
  return expand(sha256, contentKey, utf8ToBytes(`${domainTags.private} cipher key`), 32);
}

/** What a device says about itself is for everybody: it is never private. */
function isChannelList(list: readonly Cbor[]): list is readonly number[] {
  const isEach = list.every((each) => isUint(each, 0xff) && each !== allChannels.readingsDropped);
  return isEach && list.length >= 1 && list.length <= privateChannelsMax && new Set(list).size === list.length;
}

function isBytes(item: unknown, size: number): item is Uint8Array {
  return item instanceof Uint8Array && item.length === size;
}

function malformed(field: string, value: unknown, bound: string) {
  return reject('private-malformed', `${field}: expected ${bound}, got ${describeValue(value)}`);
}
