/** The process itself: arguments, a real broker, kill -9 and SIGTERM. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';
import modbusSerial from 'modbus-serial';
import { SerialPort } from 'serialport';
import t, { type Test } from 'tap';
import { formatDemonstrationClock } from '@coldproof/wire';
import { formatGga, formatRmc } from '@coldproof/firmware-sim/nmea';
import { positionAt } from '@coldproof/firmware-sim/route';
import { scenarios } from '@coldproof/firmware-sim/scenario';
import { formatSenml } from '@coldproof/firmware-sim/senml';
import { readSettings } from '@coldproof/firmware-sim/settings';
import { readingsOf } from '@coldproof/firmware-sim/message';
import { Voyage } from '@coldproof/firmware-sim/voyage';
import { GatewayStub } from './gateway-stub.ts';
import { SerialPair, skipWithoutSocat } from './serial-pair.ts';

const main = fileURLToPath(new URL('../../../firmware-sim/dist/main.js', import.meta.url));
const startSec = 1_767_225_600;

function start(t: Test, args: string[], env: Record<string, string>) {
  const child = spawn(process.execPath, [main, ...args], { env: { ...process.env, ...env }, stdio: 'pipe' });
  let said = '';
  let onSaid: (() => void) | undefined;
  for (const stream of [child.stdout, child.stderr]) {
    stream.on('data', (chunk: Buffer) => {
      said += chunk.toString();
      onSaid?.();
    });
  }
  const until = async (part: string): Promise<void> => {
    while (!said.includes(part)) await new Promise<void>((resolve) => (onSaid = resolve));
  };
  const exited = once(child, 'close') as Promise<[number | null, string | null]>;
  t.teardown(() => child.kill('SIGKILL'));
  return { child, exited, until, said: () => said };
}

t.test('killed in the middle and started again, it sends the same values for the same times', async (t) => {
  const gateway = new GatewayStub({ password: 'sensor secret' });
  await gateway.start();
  t.teardown(() => gateway.stop());
  const speed = 3_600;
  const realStartMs = Date.now();
  const clock = formatDemonstrationClock({ voyageStartMs: startSec * 1_000, realStartMs, speed });
  const args = ['--scenario', 'door-left-open', '--seed', '7', '--broker', gateway.url, '--password-env', 'SENSORS'];
  // The machine may be slow to start a process: a whole voyage's catch-up makes the outcome no matter of time.
  args.push('--catch-up-sec', '86400');
  const env = { COLDPROOF_DEMONSTRATION_CLOCK: clock, SENSORS: 'sensor secret' };

  const first = start(t, args, env);
  await gateway.until(() => gateway.received.length >= 20);
  first.child.kill('SIGKILL');
  t.same((await first.exited)[1], 'SIGKILL');
  const before = [...gateway.received];
  const second = start(t, args, env);
  await gateway.until(() => gateway.received.length >= before.length * 2 + 20);
  second.child.kill('SIGTERM');
  t.same(await second.exited, [0, null], 'SIGTERM is an orderly end');

  const voyage = new Voyage(scenarios['door-left-open'], 7);
  const expected = (i: number): string => {
    const atSec = (i + 1) * 60;
    return formatSenml('TRUCK-7', startSec + atSec, readingsOf(voyage.sampleAt(atSec), false));
  };
  t.same(
    before,
    before.map((_, i) => expected(i)),
  );
  const after = gateway.received.slice(before.length);
  t.same(
    after,
    after.map((_, i) => expected(i)),
    'from the first minute again',
  );
  const lines = second
    .said()
    .trim()
    .split('\n')
    .map((line) => JSON.parse(line) as Record<string, unknown>);
  t.match(lines[0], { level: 'info', event: 'voyage-started', scenario: 'door-left-open', seed: 7 });
  t.match(lines.at(-1), { event: 'simulator-stopped', unsent: 0 });
  t.notMatch(second.said(), /sensor secret/, 'no secret in the log');
});

t.test('with --serial the unit speaks Modbus, and MQTT has the rest', { skip: skipWithoutSocat }, async (t) => {
  const gateway = new GatewayStub();
  await gateway.start();
  t.teardown(() => gateway.stop());
  const pair = new SerialPair();
  t.teardown(() => pair.remove());
  await pair.plug();
  // An hour and a half after the compressor failed; at speed 1 the registers stand still for long enough.
  const realStartMs = Date.now() - 3 * 3_600_000;
  const clock = formatDemonstrationClock({ voyageStartMs: startSec * 1_000, realStartMs, speed: 1 });
  const args = ['--seed', '7', '--broker', gateway.url, '--serial', pair.device, '--unit-id', '9'];
  const simulator = start(t, args, { COLDPROOF_DEMONSTRATION_CLOCK: clock });
  await gateway.until(() => gateway.received.length >= 4);
  const names = (JSON.parse(gateway.received[0]!) as { n: string }[]).map(({ n }) => n);
  t.same(names, ['cargo-probe-1', 'door']);

  const master = new modbusSerial.default();
  await master.connectRTUBuffered(pair.gateway, { baudRate: 19_200 });
  t.teardown(() => new Promise<void>((resolve) => master.close(() => resolve())));
  master.setID(9);
  master.setTimeout(5_000);
  await simulator.until('"line-opened"');
  const { data } = await master.readInputRegisters(0, 7);
  t.equal(data[0], 50, 'setpoint');
  t.same(data.slice(4, 6), [0, 32], 'off, with its alarm');
  t.ok(data[6]! > 800 && data[6]! < 1_000, `cargo probe ${data[6]}`);
  simulator.child.kill('SIGTERM');
  t.same(await simulator.exited, [0, null]);
});

t.test('with --lines and --nmea a logger and a receiver speak by themselves', { skip: skipWithoutSocat }, async (t) => {
  const pairs = [new SerialPair(), new SerialPair()] as const;
  t.teardown(() => Promise.all(pairs.map((pair) => pair.remove())));
  await Promise.all(pairs.map((pair) => pair.plug()));
  const clock = formatDemonstrationClock({ voyageStartMs: startSec * 1_000, realStartMs: Date.now(), speed: 600 });
  const heard = pairs.map(({ gateway }) => {
    const port = new SerialPort({ path: gateway, baudRate: 19_200 });
    t.teardown(() => {
      port.close();
    });
    let text = '';
    port.on('data', (chunk: Buffer) => (text += chunk.toString()));
    return (pattern: RegExp) =>
      new Promise<RegExpExecArray>((resolve) => {
        const look = () => {
          const found = pattern.exec(text);
          if (found !== null) resolve(found);
          return found !== null;
        };
        if (!look()) port.on('data', look);
      });
  });
  const args = ['--scenario', 'healthy', '--lines', pairs[0].device, '--nmea', pairs[1].device];
  const sim = start(t, args, { COLDPROOF_DEMONSTRATION_CLOCK: clock });
  const [line] = await heard[0]!(/^supply-air=.*;cargo-probe-1=(-?\d+\.\d\d);.*\*[0-9A-F]{2}\r$/m);
  t.match(line, /door=0;setpoint=5.00;unit-mode=\d/);
  const [sentences] = await heard[1]!(/^\$GNRMC,.*\*[0-9A-F]{2}\r\n\$GNGGA,.*\*[0-9A-F]{2}\r$/m);
  const [, hour, minute, second] = /GNRMC,(\d\d)(\d\d)(\d\d)/.exec(sentences)!.map(Number);
  const atSec = 3_600 * hour! + 60 * minute! + second!;
  const position = positionAt(atSec);
  t.equal(`${sentences}\n`, formatRmc(startSec + atSec, position) + formatGga(startSec + atSec, position));
  sim.child.kill('SIGTERM');
  t.same(await sim.exited, [0, null]);
});

t.test('bad arguments end with 2 and name each problem', async (t) => {
  const run = start(t, ['--scenario', 'melt', '--unit-id', '0', '--fault', 'drop=2'], {});
  t.same(await run.exited, [2, null]);
  for (const part of ['--scenario: expected one of', '--unit-id: expected an integer 1 to 247, got 0', '--fault:']) {
    t.match(run.said(), part);
  }
  const help = start(t, ['--help'], {});
  t.same(await help.exited, [0, null]);
  t.match(help.said(), 'usage: node firmware-sim/dist/main.js');
});

t.test('settings: every option has its bound, and all problems come at once', (t) => {
  const bad: [string[], RegExp][] = [
    [['--seed', '-1'], /--seed/],
    [['--seed=1e3'], /--seed: expected an integer 0 to 9007199254740991, got 1e3/],
    [['--seed=9007199254740992'], /--seed/],
    [['--baud=1'], /--baud: expected an integer 300 to 4000000, got 1/],
    [['--catch-up-sec=86401'], /--catch-up-sec/],
    [['--truck=a/b'], /--truck: expected/],
    [['--truck='], /--truck: expected/],
    [['--sparkplug=a/b'], /--sparkplug: expected 1 to 64 characters/],
    [['--format=xml'], /--format: expected one of senml-json, senml-cbor, json, got xml/],
    [['--topic=sensors/+'], /--topic: expected/],
    [['--broker=http://a'], /--broker: expected mqtt:/],
    [['--broker=nonsense'], /--broker: expected mqtt:/],
    [['--broker=mqtt://user:secret@host'], /--broker: expected no credentials/],
    [['--password-env=ABSENT'], /--password-env: expected ABSENT in the environment/],
    [['--fault=melt=1'], /--fault: expected drop\|repeat\|reorder\|corrupt=0..1, got melt=1/],
    [['--unknown'], /Unknown option/],
    [['stray'], /Unexpected argument/],
  ];
  for (const [args, problem] of bad) {
    const asked = readSettings(args, {});
    t.ok(asked.kind === 'problems' && asked.problems.some((each) => problem.test(each)), args.join(' '));
    t.notMatch(asked, /secret/, 'a password given in the wrong place is not repeated');
  }
  const all = readSettings(['--seed=x', '--baud=x', '--truck=/', '--broker=x'], { COLDPROOF_DEMONSTRATION_CLOCK: 'x' });
  t.equal(all.kind === 'problems' && all.problems.length, 5);

  const asked = readSettings(['--serial', '/dev/ttyUSB0', '--fault', 'drop=0.5', '--fault', 'repeat=1'], {});
  if (asked.kind !== 'run') return t.fail(asked.kind);
  const { broker, options } = asked.settings;
  t.match(options, {
    scenario: 'compressor-failure',
    seed: 1,
    truck: 'TRUCK-7',
    topic: 'sensors/TRUCK-7',
    faults: { drop: 0.5, repeat: 1 },
    serial: { path: '/dev/ttyUSB0', baud: 19_200, unitId: 1 },
  });
  t.match(broker, { url: 'mqtt://127.0.0.1:1884', username: 'TRUCK-7', clientId: 'sensors-TRUCK-7' });
  t.end();
});
