/**
 * Takes what the owner says from afar: a configuration, tried before it counts, and commands, each done once. It
 * outlives the running agent, since it is what starts the next one (run.ts), and every move is on the disk before
 * anything follows from it (remote-state.ts draws them).
 */
import { createHash } from 'node:crypto';
import { join } from 'node:path';
import {
  bytesToHex,
  commandLifeSecMax,
  formatTopic,
  verifyOwnerCommand,
  verifyOwnerConfig,
  type OwnerCommand,
} from '@coldproof/wire';
import type { Clock } from './clock.ts';
import { amendWith, type Amend, type Overlay } from './config-remote.ts';
import type { AgentConfig } from './config.ts';
import type { Log } from './log-line.ts';
import { OperatingError } from './operating-error.ts';
import type { Refuse } from './refusal.ts';
import * as remote from './remote-state.ts';
import type { DeviceRemote, RemoteState, Reply } from './remote-state.ts';
import { isClockTrusted } from './sample.ts';
import { readStateFile, writeStateFile } from './state-file.ts';

/** Sends what is said to the owner; a message that is lost is asked for again. */
export type OwnerPublish = (topic: string, payload: string, options: { readonly retain: boolean }) => void;

/** What an uplink session needs: what to listen to, whom to give it to, and who speaks while the session lasts. */
export type OwnerPort = {
  readonly topics: readonly string[];
  /** Throws `state-unavailable` of the disk, and nothing that an outsider can cause. */
  take(topic: string, payload: Uint8Array): void;
  /** Gives the way to end it. */
  attach(publish: OwnerPublish): () => void;
};

/** The running agent's side of a device. */
export type OwnedDevice = {
  readonly name: string;
  readonly id: Uint8Array;
  readonly newestSec: () => number | undefined;
  readonly refuse: Refuse;
  /** Makes the forwarder send again, from this sequence on. */
  readonly replay: (fromSequence: number) => ReplayAnswer;
};

export type ReplayAnswer =
  | { readonly ok: true; readonly fromSequence: number }
  | { readonly ok: false; readonly detail: string };

export type OwnerDeskDeps = {
  readonly clock: Clock;
  readonly log: Log;
  /** Throws `config-invalid`. The file as it was last taken, with this over it. */
  readonly check: (amend?: Amend) => AgentConfig;
  /** There is something to start with: `next` has it. */
  readonly onRestart: () => void;
  /** Called after each write with its name, by tests that crash there. */
  readonly crashPoint?: (name: string) => void;
};

export class OwnerDesk {
  readonly #deps: OwnerDeskDeps;
  readonly #path: string;
  readonly #speakers = new Map<string, Set<OwnerPublish>>();
  /** Replies that no session was there for. */
  readonly #untold = new Map<string, Reply[]>();
  readonly #ids = new Map<string, Uint8Array>();
  /** Newer configurations that came while one was tried. */
  readonly #deferred = new Map<string, () => void>();
  #state: RemoteState;

  constructor(stateDir: string, deps: OwnerDeskDeps) {
    this.#deps = deps;
    this.#path = join(stateDir, 'remote.json');
    this.#state = this.#load();
  }

  /** A damaged file is told and left behind: readings are taken all the same, by the gateway's own file. */
  #load(): RemoteState {
    try {
      const state = readStateFile(this.#path) as RemoteState | { readonly version: number } | undefined;
      if (state === undefined) return remote.nothingRemote;
      const version: number = state.version;
      if (version === 1 && 'devices' in state) return state;
      this.#deps.log('error', 'remote-state-lost', { why: `${this.#path}: expected version 1` });
    } catch (error) {
      if (!(error instanceof OperatingError)) throw error;
      this.#deps.log('error', 'remote-state-lost', { why: error.message });
    }
    return remote.nothingRemote;
  }

  /** What to start with. A trial that was begun before and came to no end is rolled back here. */
  next(): { readonly config: AgentConfig; readonly isTrial: boolean } {
    const { trial } = this.#state;
    if (trial !== null && trial.attempts > 0) this.rollBack('it ended before it had been up for long enough');
    else if (trial !== null) {
      try {
        const config = this.#deps.check(amendWith(remote.overlaysOf(this.#state, true)));
        this.#write(remote.begin(this.#state), 'trial-begun');
        return { config, isTrial: true };
      } catch (error) {
        this.rollBack(problemsOf(error));
      }
    }
    return { config: this.current(), isTrial: false };
  }

  /** The file with what counts; alone, when it has changed so that the two no longer go together. */
  current(): AgentConfig {
    const overlays = remote.overlaysOf(this.#state, false);
    if (overlays.size === 0) return this.#deps.check();
    try {
      const config = this.#deps.check(amendWith(overlays));
      this.#takeUp();
      return config;
    } catch (error) {
      const detail = problemsOf(error);
      const config = this.#deps.check();
      for (const [name, { number }] of overlays) {
        this.#deps.log('error', 'config-set-aside', { device: name, number, why: detail });
        const report = remote.reportOf(number, 'set-aside', null, { at: this.#at(), detail });
        this.#write(remote.withDevice(this.#state, name, { report }), 'set-aside');
      }
      return config;
    }
  }

  /** What counts, to be put over a file. */
  amend(): Amend {
    return amendWith(remote.overlaysOf(this.#state, false));
  }

  /** What was set aside goes together with the file again. */
  #takeUp(): void {
    for (const [name, { report, good }] of Object.entries(this.#state.devices)) {
      if (report?.state !== 'set-aside' || good === null) continue;
      const again = remote.reportOf(good.number, 'applied', good, { at: this.#at() });
      this.#write(remote.withDevice(this.#state, name, { report: again }), 'taken-up');
    }
  }

  commit(): void {
    const { trial } = this.#state;
    this.#write(remote.commit(this.#state, this.#at()), 'committed');
    if (trial !== null) this.#tellTrial(trial);
    const deferred = [...this.#deferred.values()];
    this.#deferred.clear();
    for (const again of deferred) again();
  }

  rollBack(why: string): void {
    // The agent that starts now has them again: they are retained.
    this.#deferred.clear();
    const { trial } = this.#state;
    this.#write(remote.rollBack(this.#state, why, this.#at()), 'rolled-back');
    if (trial !== null) this.#tellTrial(trial, why);
  }

  /** A stop is no fault of what was being tried. */
  postpone(): void {
    this.#write(remote.postpone(this.#state), 'postponed');
  }

  portOf(device: OwnedDevice, publicKey: Uint8Array): OwnerPort {
    const { name, id } = device;
    const [configTopic, commandTopic] = [formatTopic(id, 'config'), formatTopic(id, 'command')];
    this.#ids.set(name, id);
    this.#adopt(name, bytesToHex(id));
    return {
      topics: [configTopic, commandTopic],
      take: (topic, payload) => {
        // An empty retained message is how one is taken back (MQTT 3.1.1 §3.3.1.3).
        if (payload.length === 0) return;
        if (topic === configTopic) this.#takeConfig(device, publicKey, payload);
        else if (topic === commandTopic) this.#takeCommand(device, publicKey, payload);
      },
      attach: (publish) => {
        const speakers = this.#speakers.get(name) ?? new Set<OwnerPublish>();
        this.#speakers.set(name, speakers.add(publish));
        this.#tellReport(name);
        const untold = this.#untold.get(name) ?? [];
        this.#untold.delete(name);
        for (const reply of untold) this.#tell(name, reply);
        return () => speakers.delete(publish);
      },
    };
  }

  #takeConfig(device: OwnedDevice, publicKey: Uint8Array, payload: Uint8Array): void {
    const { name, id, refuse } = device;
    const verdict = verifyOwnerConfig(payload, publicKey, id);
    if (!verdict.ok) {
      refuse('config-refused', `${verdict.reason}: ${verdict.detail}`);
      return;
    }
    const { number, settings } = verdict.value;
    const { seen, digest: seenDigest, good } = this.#of(name);
    // Of what was said, not of the signature, which may be another each time.
    const digest = createHash('sha256').update(`${number}:${settings}`).digest('hex');
    if (number === seen && digest === seenDigest) {
      this.#tellReport(name);
      return;
    }
    if (number <= seen) {
      refuse('config-refused', `number: expected > ${seen}, got ${number}`);
      return;
    }
    if (this.#state.trial !== null) {
      this.#deferred.set(name, () => this.#takeConfig(device, publicKey, payload));
      return undefined;
    }
    const overlay = { number, settings };
    const problems = this.#problemsWith(name, overlay);
    const at = this.#at();
    this.#deps.log('info', 'config-taken', { device: name, number, isSound: problems === undefined });
    if (problems !== undefined) {
      const report = remote.reportOf(number, 'refused', good, { at, detail: problems });
      this.#write(remote.withDevice(this.#state, name, { seen: number, digest, report }), 'config-refused');
      this.#tellReport(name);
      return;
    }
    const report = remote.reportOf(number, 'trying', good, { at });
    const trial = { name, overlay, command: null };
    this.#write(remote.take(this.#state, trial, { seen: number, digest, report }), 'taken');
    this.#tellReport(name);
    this.#deps.onRestart();
  }

  #takeCommand(device: OwnedDevice, publicKey: Uint8Array, payload: Uint8Array): void {
    const verdict = verifyOwnerCommand(payload, publicKey, device.id);
    if (!verdict.ok) {
      device.refuse('command-refused', `${verdict.reason}: ${verdict.detail}`);
      return;
    }
    const { name } = device;
    const command = verdict.value;
    const id = bytesToHex(command.id);
    const known = this.#of(name).answered.find(({ reply }) => reply.id === id);
    if (known !== undefined) {
      this.#tell(name, known.reply);
      return;
    }
    const refusal = this.#whyNot(device, command);
    if (refusal !== undefined) {
      device.refuse('command-refused', `${refusal}: ${command.name}`);
      this.#tell(name, remote.replyOf(id, 'refused', { at: this.#at(), reason: refusal }));
      return;
    }
    this.#deps.log('info', 'command-taken', { device: name, command: command.name, argument: command.argument, id });
    if (command.name === 'request-replay') this.#replay(device, command, id);
    else this.#period(name, command, id);
  }

  /** What is not remembered, since it can be said again: the same command may be done later, or never. */
  #whyNot({ name, newestSec }: OwnedDevice, { expiresSec }: OwnerCommand): remote.CommandReason | undefined {
    const nowSec = Math.floor(this.#deps.clock.nowMs() / 1_000);
    if (!isClockTrusted(nowSec, newestSec())) return 'clock-not-trusted';
    const current = remote.forgetExpired(this.#of(name), nowSec);
    this.#state = remote.withDevice(this.#state, name, current);
    if (expiresSec <= nowSec || expiresSec <= current.forgottenSec) return 'command-expired';
    if (expiresSec > nowSec + commandLifeSecMax) return 'command-life-too-long';
    if (current.answered.length >= remote.answeredMax) return 'too-many-commands';
    return this.#state.trial === null ? undefined : 'busy';
  }

  /** Done before it is written: after a crash in between it is done twice, and an oracle takes a repeat as one. */
  #replay({ name, replay }: OwnedDevice, { argument, expiresSec }: OwnerCommand, id: string): void {
    const answer = replay(argument);
    const at = this.#at();
    const reply = answer.ok
      ? remote.replyOf(id, 'done', { at, detail: `from sequence ${answer.fromSequence} on` })
      : remote.replyOf(id, 'refused', { at, reason: 'command-impossible', detail: answer.detail });
    this.#write(this.#answered(name, expiresSec, reply), 'answered');
    this.#tell(name, reply);
  }

  #period(name: string, { argument, expiresSec }: OwnerCommand, id: string): void {
    const overlay = { number: 0, settings: '{}', ...this.#of(name).good, periodSec: argument };
    const problems = this.#problemsWith(name, overlay);
    const at = this.#at();
    const told = problems === undefined ? { at } : { at, reason: 'command-impossible' as const, detail: problems };
    const reply = remote.replyOf(id, problems === undefined ? 'trying' : 'refused', told);
    const answered = this.#answered(name, expiresSec, reply);
    if (problems !== undefined) {
      this.#write(answered, 'answered');
      this.#tell(name, reply);
      return;
    }
    this.#write(remote.take(answered, { name, overlay, command: id }, {}), 'taken');
    this.#tell(name, reply);
    this.#deps.onRestart();
  }

  #answered(name: string, expiresSec: number, reply: Reply): RemoteState {
    const answered = [...this.#of(name).answered, { expiresSec, reply }];
    return remote.withDevice(this.#state, name, { answered });
  }

  /** Undefined when the whole would be in order. */
  #problemsWith(name: string, overlay: Overlay): string | undefined {
    const overlays = remote.overlaysOf(this.#state, false).set(name, overlay);
    try {
      this.#deps.check(amendWith(overlays));
      return undefined;
    } catch (error) {
      return problemsOf(error);
    }
  }

  /** What was set for a key that is no longer this device's is for nobody. */
  #adopt(name: string, device: string): void {
    const before = this.#state.devices[name];
    if (before?.device === device) return;
    const trial = this.#state.trial?.name === name ? null : this.#state.trial;
    const devices = { ...this.#state.devices, [name]: remote.freshDevice(device) };
    this.#write({ ...this.#state, devices, trial }, 'adopted');
    if (before !== undefined && before.good !== null) {
      this.#deps.log('warn', 'config-of-another-key', { device: name, number: before.good.number });
      this.#deps.onRestart();
    }
  }

  #of(name: string): DeviceRemote {
    return this.#state.devices[name]!;
  }

  #write(state: RemoteState, crashPoint: string): void {
    writeStateFile(this.#path, state);
    this.#state = state;
    this.#deps.crashPoint?.(crashPoint);
  }

  #tellTrial({ name, command, overlay }: remote.Trial, why?: string): void {
    const event = why === undefined ? 'config-applied' : 'config-rolled-back';
    const fields = { device: name, number: overlay.number, periodSec: overlay.periodSec, why };
    this.#deps.log(why === undefined ? 'info' : 'error', event, fields);
    if (command === null) {
      this.#tellReport(name);
      return;
    }
    const answer = this.#of(name).answered.find(({ reply }) => reply.id === command);
    if (answer !== undefined) this.#tell(name, answer.reply);
    return undefined;
  }

  #tellReport(name: string): void {
    const { report } = this.#of(name);
    if (report !== null) this.#say(name, 'config-report', JSON.stringify(report));
  }

  #tell(name: string, reply: Reply): void {
    if (this.#say(name, 'reply', JSON.stringify(reply))) return;
    this.#untold.set(name, [...(this.#untold.get(name) ?? []), reply].slice(-remote.answeredMax));
  }

  #say(name: string, kind: 'config-report' | 'reply', message: string): boolean {
    const [id, speakers] = [this.#ids.get(name), this.#speakers.get(name) ?? []];
    if (id === undefined) return false;
    for (const publish of speakers) publish(formatTopic(id, kind), message, { retain: kind === 'config-report' });
    return [...speakers].length > 0;
  }

  #at(): string {
    return new Date(this.#deps.clock.nowMs()).toISOString();
  }
}

/** Only what is wrong with the configuration; anything else is a fault of ours or of the disk. */
function problemsOf(error: unknown): string {
  if (error instanceof OperatingError && error.code === 'config-invalid') return error.message;
  throw error;
}
