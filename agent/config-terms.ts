/** The shipment's terms as the gateway needs them, and whom to wake when they are about to be broken. */
import { channelName, type OrderUnderWatch } from '@coldproof/wire';
import { integer, list, oneOf, optional, path, record, text, type Field, type Place } from './config-field.ts';
import { temperatureChannel } from './config-sensor.ts';

/** What a device, a channel or an order can be in, the gravest first. */
export const warningStates = ['excursion', 'warning', 'no-data', 'ok'] as const;
export type WarningState = (typeof warningStates)[number];

/** A program and its arguments; no shell reads them. */
export type Command = readonly string[];

export type WarnConfig = {
  readonly command: Command;
  /** Undefined: nothing is run when all is well again. */
  readonly clearCommand: Command | undefined;
  /** States that the command is run for. */
  readonly on: readonly WarningState[];
};

/** TermsRules.sol: LIMIT_COUNT_MAX. */
const limitsMax = 4;
/** TermsRules.sol: DURATION_SEC_MAX, 366 days. */
const durationSecMax = 31_622_400;
/** The most negative value of 16 bits says that the sensor is at fault. */
const centiCMax = 32_767;
const argumentsMax = 16;

/** Names and units are those of IAgreements.Limit, so that figures can be copied from the signed terms. */
const limit = record({
  channel: temperatureChannel,
  lowerLimitCentiC: integer(-centiCMax, centiCMax),
  upperLimitCentiC: integer(-centiCMax, centiCMax),
  excursionSecMin: integer(1, durationSecMax),
  cumulativeSecMin: optional(integer(0, durationSecMax), 0),
});

const termsShape = {
  orderId: text(/^[1-9][0-9]{0,77}$/, 'the number of the order, in quotes'),
  judgedFromSec: optional(integer(0, 0xffff_ffff), 0),
  sampleGapSecMax: integer(1, durationSecMax),
  limits: list(limit, 1, limitsMax),
};

export const terms: Field<OrderUnderWatch> = record(termsShape, (formed, place) => {
  const { orderId, judgedFromSec, sampleGapSecMax, limits } = formed;
  if (orderId === null || judgedFromSec === null || sampleGapSecMax === null || limits === null) return null;
  limits.forEach((each, i) => checkLimit(each, limits.slice(0, i), place.key('limits').key(i)));
  const judged = limits.map((each) => ({ ...each, sampleGapSecMax }));
  return { orderId, judgedFromSec, deliveredAtSec: 0, limits: judged };
});

type Limits = OrderUnderWatch['limits'];
type BareLimit = Omit<Limits[number], 'sampleGapSecMax'>;

function checkLimit(
  { channel, lowerLimitCentiC, upperLimitCentiC }: BareLimit,
  before: readonly BareLimit[],
  place: Place,
) {
  if (lowerLimitCentiC >= upperLimitCentiC) {
    place.key('lowerLimitCentiC').problem(lowerLimitCentiC, `less than upperLimitCentiC, which is ${upperLimitCentiC}`);
  }
  if (before.some((each) => each.channel === channel)) {
    place.key('channel').problem(channelName(channel), 'a channel that no other limit has');
  }
}

const words = list(text(/^[^\0]{0,1024}$/, 'text of 0 to 1024 characters'), 1, argumentsMax);
const command: Field<Command> = Object.assign(
  (value: unknown, place: Place) => {
    const given = words(value, place);
    if (given === null || path(given[0], place.key(0)) === null) return null;
    return given;
  },
  { schema: words.schema! },
);

export const warn: Field<WarnConfig> = record({
  command,
  clearCommand: optional(command),
  on: optional(list(oneOf('excursion', 'warning', 'no-data'), 1, 3), ['excursion', 'warning'] as const),
});
