/**
 * Runs of random moves by hostile parties (contracts/testing/Voyagers.sol), which checks the invariants after each. A
 * run is some blocks of some moves with leaps of time between them, all drawn from its seed; then the chain goes back.
 */
import { createHash } from 'node:crypto';
import { AbiCoder, type Contract } from 'ethers';
import { encodeEnrolment, enrolmentPreimage, hexToBytes } from '@coldproof/wire';
import { addressOf, call, deploy, send, startChain, type Chain } from '../helpers/chain.ts';
import { VoyageDevice } from '../helpers/voyage-device.ts';
import { abiEvidence, hex, makeEvidence, startSec } from './fixture.ts';

/** As Voyagers.sol numbers them. */
export const invariants = [
  'None',
  'ShipmentsMoney',
  'CoverMoney',
  'DisputesMoney',
  'OneLiveOrder',
  'OneReplacement',
  'TerminalStays',
  'OdometerForward',
  'LockedTruckStays',
] as const;
export type Invariant = (typeof invariants)[number];

/** As VoyageMoves.sol numbers them. */
export const moves = [
  ...['Agree', 'Place', 'Accept', 'Decline', 'Cancel', 'Expire', 'Dispatch', 'Deliver', 'DeliverSigned', 'Settle'],
  ...['Withdraw', 'ReportExcursion', 'ReportCumulative', 'Conclude', 'Postpone', 'Dispose', 'ApproveHeld', 'ApplyHeld'],
  ...['RequestRepair', 'RequestCover', 'Pause', 'SetBreaker', 'Submit', 'RegisterTruck', 'OpenTicket', 'CloseTicket'],
  ...['AddService', 'OfferTruck', 'AcceptTruck', 'Deposit', 'WithdrawCapital', 'Take', 'OnExcursion', 'SettleClaim'],
  ...['Release', 'ProveHeartbeat', 'ReportSilence', 'Disprove', 'DeclareBreach', 'Assert', 'Dispute', 'ConcludeFact'],
  ...['Arbitrate', 'Lapse', 'WithdrawBond'],
] as const;

/** Those that nobody may make directly: they must never succeed. */
export const forbiddenMoves = ['Conclude', 'Postpone', 'OpenTicket', 'OnExcursion'] as const;

const states = ['None', 'Placed', 'Accepted', 'InTransit', 'Delivered', 'Settled', 'Cancelled', 'Refunded'] as const;
export const enteredStates = [...states, 'Quarantined', 'Held'] as const;

const roleIndex = { carrier: 5, otherCarrier: 6, officer: 9, secondOfficer: 10, workshop: 11 } as const;
const blocksPerRun = 10;
/** Under the 2^24 that EIP-7825 allows for a transaction. */
const blockGas = '0xfe0000';
const evidenceCount = 300;
const evidenceFromSec = startSec + 7_200;

export type Outcome = {
  readonly steps: number;
  readonly breach: Invariant;
  /** The order, the step and the move that show the breach, for people. */
  readonly detail: string;
  readonly moves: readonly number[];
  readonly states: readonly number[];
};

type World = Readonly<
  Record<'token' | 'agreements' | 'shipments' | 'fleet' | 'cover' | 'reconciliation' | 'silence' | 'disputes', Contract>
>;

export class Voyage {
  readonly chain: Chain;
  readonly world: World;
  readonly voyagers: Contract;
  readonly #admin: string;
  #snapshot = '';

  private constructor(chain: Chain, world: World, voyagers: Contract, admin: string) {
    this.chain = chain;
    this.world = world;
    this.voyagers = voyagers;
    this.#admin = admin;
  }

  /** A world with parties, trucks, devices and evidence. */
  static async open(): Promise<Voyage> {
    const chain = await startChain({ startSec });
    const admin = await chain.account(0);
    const manager = await deploy(admin, 'AccessManager', [admin.address]);
    const oracles = await deploy(admin, 'ObligingOracles');
    const token = await deploy(admin, 'ReentrantToken');
    const registry = await deploy(admin, 'DeviceRegistry');
    const fleet = await deploy(admin, 'Fleet', [manager.target]);
    const agreements = await deploy(admin, 'Agreements', [oracles.target]);
    const parts = [manager, agreements, registry, fleet].map(addressOf);
    const shipments = await deploy(admin, 'Shipments', parts);
    const cover = await deploy(admin, 'CargoCover', [shipments.target]);
    const reconciliation = await deploy(admin, 'Reconciliation', [shipments.target]);
    const silence = await deploy(admin, 'Silence', [shipments.target]);
    const disputes = await deploy(admin, 'Disputes', [oracles.target, shipments.target]);
    const world = { token, agreements, shipments, fleet, cover, reconciliation, silence, disputes };
    const addresses = Object.values(world).map(addressOf);
    const devices = [new VoyageDevice(1), new VoyageDevice(2)];
    const keys = devices.map(({ device }) => hex(device));
    const voyagers = await deploy(admin, 'Voyagers', [addresses, keys, evidenceFromSec]);
    const voyage = new Voyage(chain, world, voyagers, admin.address);
    await voyage.#appoint(manager);
    await voyage.#enrol(registry, devices[0]!, roleIndex.carrier);
    await voyage.#enrol(registry, devices[1]!, roleIndex.otherCarrier);
    for (const [i, device] of devices.entries()) await voyage.#addEvidence(i, device);
    await chain.mineAt(evidenceFromSec);
    await chain.provider.send('evm_setAutomine', [false]);
    voyage.#snapshot = await chain.snapshot();
    return voyage;
  }

  stop(): Promise<void> {
    return this.chain.stop();
  }

  /** `interfere` is called before the last block, to see whether what it does is noticed. */
  async run(seed: string, steps: number, interfere?: () => Promise<unknown>): Promise<Outcome> {
    let timeSec = evidenceFromSec;
    for (let block = 0; block < blocksPerRun; block++) {
      if (block === blocksPerRun - 1) await interfere?.();
      const dice = createHash('sha256').update(`${seed} ${block}`).digest();
      timeSec += leapSec(dice);
      const stepsHere = Math.floor((steps * (block + 1)) / blocksPerRun) - Math.floor((steps * block) / blocksPerRun);
      await this.submit(this.voyagers, 'play', [hex(dice), stepsHere]);
      await this.chain.provider.send('evm_mine', [{ timestamp: timeSec }]);
    }
    const outcome = (await call(this.voyagers, 'outcome')) as [
      bigint,
      [bigint, bigint, bigint, bigint],
      bigint[],
      bigint[],
    ];
    await this.chain.revert(this.#snapshot);
    this.#snapshot = await this.chain.snapshot();
    const [done, [invariant, orderId, step, move], made, entered] = outcome;
    return {
      steps: Number(done),
      breach: invariants[Number(invariant)]!,
      detail: `order ${orderId}, step ${step}, after ${moves[Number(move)]}, seed ${seed}`,
      moves: [...made].map(Number),
      states: [...entered].map(Number),
    };
  }

  /** Into the next block; as the admin, who has no part in the voyage. */
  async submit(contract: Contract, method: string, args: readonly unknown[]): Promise<void> {
    const data = contract.interface.encodeFunctionData(method, args);
    const transaction = { from: this.#admin, to: contract.target, data, gas: blockGas };
    await this.chain.provider.send('eth_sendTransaction', [transaction]);
  }

  /** Gives out the roles. The breaker is set so that some orders are held. */
  async #appoint(manager: Contract): Promise<void> {
    const { fleet, shipments } = this.world;
    const restrict = (target: Contract, methods: readonly string[], role: number): Promise<unknown> => {
      const selectors = methods.map((each) => target.interface.getFunction(each)!.selector);
      return send(manager, 'setTargetFunctionRole', [target.target, selectors, role]);
    };
    await restrict(fleet, ['openTicket'], 1);
    await restrict(shipments, ['pause', 'unpause'], 2);
    await restrict(shipments, ['approveHeld'], 3);
    await restrict(shipments, ['setBreaker'], 6);
    const [officer, second] = [await this.#actor(roleIndex.officer), await this.#actor(roleIndex.secondOfficer)];
    const grants: [number, unknown][] = [
      [1, shipments.target],
      [1, this.#admin],
      [2, officer],
      [3, officer],
      [3, second],
      [6, officer],
      [6, this.#admin],
    ];
    for (const [role, account] of grants) await send(manager, 'grantRole', [role, account, 0]);
    await send(shipments, 'setBreaker', [1, 30 * 86_400]);
    await send(fleet, 'registerWorkshop', [await this.#actor(roleIndex.workshop), true]);
  }

  #actor(role: number): Promise<string> {
    return call(this.voyagers, 'actorOf', [role]) as Promise<string>;
  }

  async #enrol(registry: Contract, device: VoyageDevice, role: number): Promise<void> {
    const asset = 'CSQU3054383';
    const owner = hexToBytes((await this.#actor(role)).slice(2));
    const registryBytes = hexToBytes(addressOf(registry).slice(2));
    const enrolment = { chainId: this.chain.chainId, registry: registryBytes, owner, asset };
    const consent = device.sign(enrolmentPreimage(encodeEnrolment(enrolment)));
    const halves = (bytes: Uint8Array): string[] => [hex(bytes.subarray(0, 32)), hex(bytes.subarray(32))];
    const assetHex = hex(Uint8Array.from(asset, (each) => each.charCodeAt(0)));
    const calibration = [hex(new Uint8Array(32)), startSec + 365 * 86_400];
    const args = [...halves(device.publicKey), assetHex, ...calibration, ...halves(consent)];
    const request = registry.interface.encodeFunctionData('enrol', args);
    await send(this.voyagers, 'runAs', [role, registry.target, request]);
  }

  async #addEvidence(index: number, device: VoyageDevice): Promise<void> {
    const stepSec = Number(await call(this.voyagers, 'EVIDENCE_STEP_SEC'));
    const encoded = encodeEvidence(this.world.shipments, device, stepSec);
    const batch = 12;
    for (let i = 0; i < encoded.length; i += batch) {
      await send(this.voyagers, 'addEvidence', [index, encoded.slice(i, i + batch)]);
    }
  }
}

export type Totals = {
  runs: number;
  steps: number;
  readonly breaches: string[];
  /** How often each move succeeded, and how often an order came into each state. */
  readonly moves: Record<string, number>;
  readonly states: Record<string, number>;
};

/** Many runs, on some chains at once. Which run is made where changes nothing of it. */
export async function sailAll(
  { runs, steps, seed, lanes }: { runs: number; steps: number; seed: string; lanes: number },
  onRun?: (totals: Totals) => void,
): Promise<Totals> {
  const totals: Totals = { runs: 0, steps: 0, breaches: [], moves: {}, states: {} };
  let next = 0;
  const lane = async (): Promise<void> => {
    const voyage = await Voyage.open();
    try {
      while (next < runs) {
        add(totals, await voyage.run(`${seed} ${next++}`, steps));
        onRun?.(totals);
      }
    } finally {
      await voyage.stop();
    }
  };
  await Promise.all(Array.from({ length: lanes }, lane));
  return totals;
}

function add(totals: Totals, outcome: Outcome): void {
  totals.runs += 1;
  totals.steps += outcome.steps;
  if (outcome.breach !== 'None') totals.breaches.push(`${outcome.breach}: ${outcome.detail}`);
  for (const [i, name] of moves.entries()) totals.moves[name] = (totals.moves[name] ?? 0) + outcome.moves[i]!;
  for (const [i, name] of enteredStates.entries())
    totals.states[name] = (totals.states[name] ?? 0) + outcome.states[i]!;
}

/** Signed once, for all chains: it is of the devices alone. */
const signed = new Map<string, readonly string[]>();

function encodeEvidence(shipments: Contract, device: VoyageDevice, stepSec: number): readonly string[] {
  const type = shipments.interface.getFunction('reportExcursion')!.inputs[1]!;
  const name = hex(device.device);
  const known = signed.get(name);
  if (known !== undefined) return known;
  const encoded = Array.from({ length: evidenceCount }, (_, i) => {
    const evidence = makeEvidence(device, { fromSec: evidenceFromSec + i * stepSec, othersCount: 0 });
    return AbiCoder.defaultAbiCoder().encode([type], [abiEvidence(evidence)]);
  });
  signed.set(name, encoded);
  return encoded;
}

/** Minutes and hours mostly; now and then a day, or so long that what is held need be held no longer. */
function leapSec(dice: Buffer): number {
  const draw = dice.readUInt32BE(4);
  const kind = dice[0]! % 20;
  if (kind >= 18) return 3 * 86_400 + (draw % 86_400);
  const longest = kind < 7 ? 1_200 : kind < 17 ? 3 * 3_600 : 30 * 3_600;
  return 1 + (draw % longest);
}
