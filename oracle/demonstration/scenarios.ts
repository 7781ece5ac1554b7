/** The stories that the simulator knows, asked of the simulator itself: the demonstration does not import it. */
import { runToEnd } from './children.ts';
import { programOf } from './stage.ts';

export type Ending = {
  readonly order: 'Cancelled' | 'Settled';
  /** What must be shown of the cargo probe. */
  readonly sensorFault?: 'stuck' | 'disconnected';
};

export type Scenarios = {
  readonly voyageSec: number;
  readonly scenarios: Readonly<Record<string, { readonly title: string; readonly ending: Ending }>>;
};

export async function listScenarios(): Promise<Scenarios> {
  const args = [programOf('firmware-sim'), '--list'];
  return JSON.parse(await runToEnd({ name: 'simulator', command: process.execPath, args })) as Scenarios;
}
