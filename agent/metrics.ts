/** /status as Prometheus has it: text exposition format 0.0.4 (prometheus.io/docs/instrumenting/exposition_formats). */
import type { AgentStatus } from './status.ts';

export const metricsContentType = 'text/plain; version=0.0.4; charset=utf-8';

export type ProcessFigures = {
  readonly residentBytes: number;
  readonly cpuSec: number;
  readonly startSec: number;
};

export function processFigures(): ProcessFigures {
  const { user, system } = process.cpuUsage();
  return {
    residentBytes: process.memoryUsage.rss(),
    cpuSec: (user + system) / 1e6,
    startSec: Math.round(Date.now() / 1_000 - process.uptime()),
  };
}

type Labels = { readonly [name: string]: string };
type Sample = readonly [labels: Labels, value: number];

export function formatMetrics({ devices, refused }: AgentStatus, figures: ProcessFigures): string {
  const each = (value: (device: AgentStatus['devices'][number]) => number | undefined): Sample[] =>
    devices.flatMap((device) => {
      const figure = value(device);
      return figure === undefined ? [] : [[{ device: device.name }, figure] as const];
    });
  const faults = devices.flatMap(({ name: device, faults }) =>
    Object.entries(faults).map(([channel, mark]) => [{ device, channel, mark }, 1] as const),
  );
  const lastReading = ({ lastReadingAt }: AgentStatus['devices'][number]) =>
    lastReadingAt === undefined ? undefined : Date.parse(lastReadingAt) / 1_000;
  return [
    metric(
      'coldproof_agent_link_up',
      'gauge',
      'Connected to the oracle.',
      each(({ link }) => Number(link.connected)),
    ),
    metric(
      'coldproof_agent_key_available',
      'gauge',
      'The key store signs.',
      each(({ key }) => Number(key.available)),
    ),
    metric(
      'coldproof_agent_readings_unsealed',
      'gauge',
      'Readings that no batch has.',
      each((one) => one.unsealed),
    ),
    metric(
      'coldproof_agent_batches_queued',
      'gauge',
      'Batches without a receipt.',
      each((one) => one.queued),
    ),
    metric(
      'coldproof_agent_batches_sealed_total',
      'counter',
      'Batches of the key.',
      each((one) => one.sealed),
    ),
    metric(
      'coldproof_agent_receipts_total',
      'counter',
      'Verified receipts.',
      each((one) => one.receipts),
    ),
    metric('coldproof_agent_last_reading_timestamp_seconds', 'gauge', 'Time of the newest.', each(lastReading)),
    metric('coldproof_agent_sensor_fault', 'gauge', 'The newest reading of the channel has this mark.', faults),
    metric(
      'coldproof_agent_refused_total',
      'counter',
      'What was turned away, by reason.',
      Object.entries(refused).map(([reason, count]) => [{ reason }, count] as const),
    ),
    metric('process_resident_memory_bytes', 'gauge', 'Resident memory.', [[{}, figures.residentBytes]]),
    metric('process_cpu_seconds_total', 'counter', 'User and system time.', [[{}, figures.cpuSec]]),
    metric('process_start_time_seconds', 'gauge', 'Start, Unix time.', [[{}, figures.startSec]]),
  ].join('');
}

function metric(name: string, type: 'gauge' | 'counter', help: string, samples: readonly Sample[]): string {
  const lines = samples.map(([labels, value]) => `${name}${formatLabels(labels)} ${value}\n`);
  return `# HELP ${name} ${help}\n# TYPE ${name} ${type}\n${lines.join('')}`;
}

function formatLabels(labels: Labels): string {
  const pairs = Object.entries(labels).map(([name, value]) => `${name}="${escape(value)}"`);
  return pairs.length === 0 ? '' : `{${pairs.join(',')}}`;
}

/** In a label's value backslash, double quote and line feed are escaped (the format's "Comments, help text..."). */
function escape(value: string): string {
  return value.replaceAll('\\', '\\\\').replaceAll('"', '\\"').replaceAll('\n', '\\n');
}
