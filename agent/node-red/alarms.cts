/** coldproof-alarms: a message when an alarm is raised and when it is cleared. */
import { connectionOf, statusOf } from './agent.cts';
import { AlarmState, type Alarm } from './alarm-state.cts';
import type { Node, NodeConfig, Runtime } from './runtime.cts';

type AlarmsConfig = NodeConfig & { readonly agent: string; readonly device?: string };

export default function register(RED: Runtime): void {
  RED.nodes.registerType('coldproof-alarms', function (this: Node, config: AlarmsConfig) {
    RED.nodes.createNode(this, config);
    const alarms = new AlarmState();
    const tell = (changes: readonly Alarm[]) => {
      for (const alarm of changes) {
        if (config.device && alarm.device !== undefined && alarm.device !== config.device) continue;
        const { device, channel, kind } = alarm;
        const about = kind === 'terms' ? [device, kind, channel] : [device, channel ?? kind];
        this.send({ topic: about.filter((each) => each !== undefined).join('/'), payload: alarm });
      }
    };
    const leave = connectionOf(RED, this, config.agent)?.join({
      onState: (state) => {
        this.status(statusOf(state));
        if (state.kind !== 'connecting') tell(alarms.agent(state.kind === 'connected'));
      },
      onMessage: (path, message) => tell(alarms.update(path, message)),
    });
    this.on('close', (done) => {
      leave?.();
      done();
    });
  });
}
