/**
 * What was set from afar, as it stands on the disk, and every move that it can make. Pure. A configuration is tried
 * before it counts: `trial` is written first, then the agent starts with it, then it becomes `good` or goes.
 *
 *   taken ----> trial, attempts 0 ----begin----> trial, attempts 1 ----commit----> good
 *                     ^                             |    |
 *                     '---------postpone (a stop)---'    '--roll back: did not come up, or a crash came before commit
 *
 * Only one attempt: a start that finds attempts 1 knows that the one before it never ended well.
 */
import type { Overlay } from './config-remote.ts';

export type ConfigReport = {
  /** Of the configuration that this is about. */
  readonly number: number;
  readonly state: 'trying' | 'applied' | 'refused' | 'rolled-back' | 'set-aside';
  readonly detail?: string;
  /** Number of the one in force, 0 for the gateway's own file. */
  readonly inForce: number;
  readonly at: string;
};

export type Reply = {
  readonly id: string;
  readonly outcome: 'trying' | 'done' | 'refused';
  readonly reason?: CommandReason;
  readonly detail?: string;
  readonly at: string;
};

export type CommandReason =
  /** Its time is over, or it was never short enough to be remembered. */
  | 'command-expired'
  | 'command-life-too-long'
  /** Without a clock nobody can say what has expired. */
  | 'clock-not-trusted'
  /** Another change is being tried; send it again, with the same id. */
  | 'busy'
  | 'too-many-commands'
  /** The whole configuration would not be in order with it, or there is nothing to replay. */
  | 'command-impossible'
  | 'rolled-back';

type Answered = { readonly expiresSec: number; readonly reply: Reply };

export type DeviceRemote = {
  /** Hex: what was for another key is not for this one. */
  readonly device: string;
  readonly good: Overlay | null;
  /** Number and digest of the newest configuration that the owner has signed, whatever became of it. */
  readonly seen: number;
  readonly digest: string;
  readonly report: ConfigReport | null;
  readonly answered: readonly Answered[];
  /** Commands that expire until then are no longer remembered, so none of them is done. */
  readonly forgottenSec: number;
};

export type Trial = {
  readonly name: string;
  readonly overlay: Overlay;
  /** Id of the command that asked for it; null for a configuration. */
  readonly command: string | null;
  readonly attempts: number;
};

export type RemoteState = {
  readonly version: 1;
  readonly devices: { readonly [name: string]: DeviceRemote };
  readonly trial: Trial | null;
};

export const nothingRemote: RemoteState = { version: 1, devices: {}, trial: null };
export const answeredMax = 64;
const detailCharactersMax = 1_000;

export function freshDevice(device: string): DeviceRemote {
  return { device, good: null, seen: 0, digest: '', report: null, answered: [], forgottenSec: 0 };
}

export function withDevice(state: RemoteState, name: string, change: Partial<DeviceRemote>): RemoteState {
  return { ...state, devices: { ...state.devices, [name]: { ...state.devices[name]!, ...change } } };
}

/** What the agent runs with; with the trial's in the place of its device's. */
export function overlaysOf({ devices, trial }: RemoteState, isTrying: boolean): Map<string, Overlay> {
  const good = Object.entries(devices).flatMap(([name, each]) =>
    each.good === null ? [] : [[name, each.good] as const],
  );
  const overlays = new Map(good);
  if (isTrying && trial !== null) overlays.set(trial.name, trial.overlay);
  return overlays;
}

export function reportOf(
  number: number,
  state: ConfigReport['state'],
  good: Overlay | null,
  told: { readonly at: string; readonly detail?: string },
): ConfigReport {
  const detail = told.detail === undefined ? {} : { detail: told.detail.slice(0, detailCharactersMax) };
  return { number, state, ...detail, inForce: good?.number ?? 0, at: told.at };
}

export function replyOf(
  id: string,
  outcome: Reply['outcome'],
  told: { readonly at: string; readonly reason?: CommandReason; readonly detail?: string },
): Reply {
  const { at, reason, detail } = told;
  return {
    ...{ id, outcome, at },
    ...(reason === undefined ? {} : { reason }),
    ...(detail === undefined ? {} : { detail: detail.slice(0, detailCharactersMax) }),
  };
}

/** A configuration or a command's period is to be tried. The device's record says so, too. */
export function take(state: RemoteState, trial: Omit<Trial, 'attempts'>, change: Partial<DeviceRemote>): RemoteState {
  return { ...withDevice(state, trial.name, change), trial: { ...trial, attempts: 0 } };
}

export function begin(state: RemoteState): RemoteState {
  return state.trial === null ? state : { ...state, trial: { ...state.trial, attempts: state.trial.attempts + 1 } };
}

export function postpone(state: RemoteState): RemoteState {
  return state.trial === null ? state : { ...state, trial: { ...state.trial, attempts: 0 } };
}

export function commit(state: RemoteState, at: string): RemoteState {
  const { trial } = state;
  if (trial === null) return state;
  const told =
    trial.command === null ? { report: reportOf(trial.overlay.number, 'applied', trial.overlay, { at }) } : {};
  const ended = withDevice(state, trial.name, { good: trial.overlay, ...told });
  return { ...answerTrial(ended, trial, { outcome: 'done', at }), trial: null };
}

export function rollBack(state: RemoteState, why: string, at: string): RemoteState {
  const { trial } = state;
  if (trial === null) return state;
  const { good } = state.devices[trial.name]!;
  const report = reportOf(trial.overlay.number, 'rolled-back', good, { at, detail: why });
  const ended = trial.command === null ? withDevice(state, trial.name, { report }) : state;
  return { ...answerTrial(ended, trial, { outcome: 'refused', reason: 'rolled-back', detail: why, at }), trial: null };
}

function answerTrial(
  state: RemoteState,
  { name, command }: Trial,
  { outcome, ...told }: { outcome: Reply['outcome']; at: string; reason?: CommandReason; detail?: string },
): RemoteState {
  const answered = state.devices[name]!.answered.map((each) =>
    each.reply.id === command ? { ...each, reply: replyOf(command, outcome, told) } : each,
  );
  return withDevice(state, name, { answered });
}

/** Without what has expired: its id need not be known, since nothing is done that expires before `forgottenSec`. */
export function forgetExpired(remote: DeviceRemote, nowSec: number): DeviceRemote {
  const gone = remote.answered.filter(({ expiresSec }) => expiresSec <= nowSec);
  if (gone.length === 0) return remote;
  const answered = remote.answered.filter(({ expiresSec }) => expiresSec > nowSec);
  return { ...remote, answered, forgottenSec: Math.max(remote.forgottenSec, ...gone.map((each) => each.expiresSec)) };
}
