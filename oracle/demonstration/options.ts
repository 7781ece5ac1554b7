/** The command line of `npm start`. All problems are reported together. */
import { parseArgs } from 'node:util';
import { demonstrationSpeedMax } from '@coldproof/wire';

export type Options = {
  readonly scenario: string;
  /** Seeds the simulator; the same seed gives the same temperatures. */
  readonly seed: number;
  /** The reefer unit answers on a serial line (Modbus RTU over a pty pair; needs socat). */
  readonly serial: boolean;
  /** Ends with the story; otherwise the door stays open until Ctrl-C. */
  readonly once: boolean;
  /** One JSON line last on stdout; the story goes to stderr. */
  readonly json: boolean;
  /** Voyage seconds per real second. */
  readonly speed: number;
  /** Of the status door; 0 for any free one. */
  readonly port: number;
};

export const usage = `npm start -- [options]

  --scenario NAME   what happens on the voyage (default compressor-failure); --list names them all
  --seed N          seed of the simulated voyage (default 1)
  --serial          read the reefer unit over a serial line (Modbus RTU, needs socat)
  --once            end with the story instead of waiting for Ctrl-C
  --json            print one JSON line last; the story goes to stderr
  --speed N         voyage seconds per second, 1 to ${demonstrationSpeedMax} (default 600)
  --port N          of GET /api/v1/status on 127.0.0.1, 0 for any (default 8080)
  --list            name the scenarios and how they end
  --help            this text
`;

export class UsageError extends Error {}

export function parseOptions(args: readonly string[], scenarios: readonly string[]): Options {
  const problems: string[] = [];
  const { values } = parse(args);
  const integer = (name: string, text: string, least: number, most: number): number => {
    const value = Number(text);
    if (text.trim() === '' || !Number.isInteger(value) || value < least || value > most) {
      problems.push(`--${name}: expected ${least} <= ${name} <= ${most}, got "${text}"`);
    }
    return value;
  };
  const options = {
    scenario: values.scenario,
    seed: integer('seed', values.seed, 0, 0xffff_ffff),
    serial: values.serial,
    once: values.once,
    json: values.json,
    speed: integer('speed', values.speed, 1, demonstrationSpeedMax),
    port: integer('port', values.port, 0, 65_535),
  };
  if (!scenarios.includes(options.scenario)) {
    problems.push(`--scenario: expected one of ${scenarios.join(', ')}, got "${options.scenario}"`);
  }
  if (problems.length > 0) throw new UsageError(problems.join('\n'));
  return options;
}

function parse(args: readonly string[]) {
  try {
    return parseArgs({
      args: [...args],
      options: {
        scenario: { type: 'string', default: 'compressor-failure' },
        seed: { type: 'string', default: '1' },
        serial: { type: 'boolean', default: false },
        once: { type: 'boolean', default: false },
        json: { type: 'boolean', default: false },
        speed: { type: 'string', default: '600' },
        port: { type: 'string', default: '8080' },
        list: { type: 'boolean', default: false },
        help: { type: 'boolean', default: false },
      },
    });
  } catch (error) {
    throw new UsageError(error instanceof Error ? error.message : String(error));
  }
}
