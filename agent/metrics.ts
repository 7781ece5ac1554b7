/** /status as Prometheus has it: text exposition format 0.0.4 (prometheus.io/docs/instrumenting/exposition_formats). */
import type { AgentStatus } from './status.ts';
import type { LinkStatus, LogStatus } from './uplink-state.ts';

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

type Device = AgentStatus['devices'][number];

export function formatMetrics(
  { devices, refused, journal, clock, warn }: AgentStatus,
  figures: ProcessFigures,
): string {
  return [
    formatLinkMetrics(devices),
    ...formatDevices(devices),
    ...formatChannels(devices),
    metric('coldproof_agent_warn_command_failures_total', 'counter', 'Runs that failed.', [[{}, warn.failed]]),
    metric(
      'coldproof_agent_refused_total',
      'counter',
      'What was turned away, by reason.',
      Object.entries(refused).map(([reason, count]) => [{ reason }, count] as const),
    ),
    ...formatGateway(journal, clock),
    metric('process_resident_memory_bytes', 'gauge', 'Resident memory.', [[{}, figures.residentBytes]]),
    metric('process_cpu_seconds_total', 'counter', 'User and system time.', [[{}, figures.cpuSec]]),
    metric('process_start_time_seconds', 'gauge', 'Start, Unix time.', [[{}, figures.startSec]]),
  ].join('');
}

function formatDevices(devices: readonly Device[]): string[] {
  const each = (name: string, type: 'counter' | 'gauge', help: string, value: (device: Device) => number | undefined) =>
    metric(
      `coldproof_agent_${name}`,
      type,
      help,
      devices.flatMap((device): Sample[] => {
        const figure = value(device);
        return figure === undefined ? [] : [[{ device: device.name }, figure]];
      }),
    );
  return [
    each('key_available', 'gauge', 'The key store signs.', ({ key }) => Number(key.available)),
    each('readings_unsealed', 'gauge', 'Readings that no batch has.', ({ unsealed }) => unsealed),
    each('batches_queued', 'gauge', 'Batches without enough receipts.', ({ queued }) => queued),
    each('batches_sealed_total', 'counter', 'Batches of the key.', ({ sealed }) => sealed),
    each('receipts_total', 'counter', 'Batches with enough receipts.', ({ receipts }) => receipts),
    each('readings_dropped_total', 'counter', 'Readings that could not be kept.', ({ dropped }) => dropped),
    each('last_reading_timestamp_seconds', 'gauge', 'Time of the newest.', ({ lastReadingAt }) =>
      lastReadingAt === undefined ? undefined : Date.parse(lastReadingAt) / 1_000,
    ),
  ];
}

function formatChannels(devices: readonly Device[]): string[] {
  const faults = devices.flatMap(({ name: device, faults }) =>
    Object.entries(faults).map(([channel, mark]) => [{ device, channel, mark }, 1] as const),
  );
  const channels = devices.flatMap(({ name: device, terms }) =>
    Object.entries(terms?.channels ?? {}).map(([channel, each]) => [{ device, channel }, each] as const),
  );
  const states = channels.map(([labels, { state }]) => [{ ...labels, state }, 1] as const);
  const left = channels.flatMap(([labels, { leftSec }]) => (leftSec === undefined ? [] : [[labels, leftSec] as const]));
  return [
    metric('coldproof_agent_sensor_fault', 'gauge', 'The newest reading of the channel has this mark.', faults),
    metric('coldproof_agent_terms_state', 'gauge', 'How the channel stands against the terms.', states),
    metric('coldproof_agent_terms_left_seconds', 'gauge', 'Until the terms are broken, if it goes on.', left),
  ];
}

function formatGateway(journal: AgentStatus['journal'], clock: AgentStatus['clock']): string[] {
  return [
    metric('coldproof_agent_journal_bytes', 'gauge', 'In use.', [[{}, journal.usedBytes]]),
    metric('coldproof_agent_journal_bytes_max', 'gauge', 'Where the journal is full.', [[{}, journal.usedBytesMax]]),
    metric('coldproof_agent_journal_full', 'gauge', 'Samples are refused.', [[{}, Number(journal.state === 'full')]]),
    metric('coldproof_agent_sealing_paused', 'gauge', 'No batches are made until some are settled.', [
      [{}, Number(journal.state === 'sealing-paused')],
    ]),
    metric(
      'coldproof_agent_clock_synchronised',
      'gauge',
      'Of the configured source.',
      clock.synchronised === undefined ? [] : [[{ source: clock.source }, Number(clock.synchronised)]],
    ),
    metric('coldproof_agent_clock_steps_total', 'counter', 'Steps of the clock.', [[{}, clock.steps]]),
  ];
}

/** Each way to the oracles, and each log behind it. */
function formatLinkMetrics(devices: AgentStatus['devices']): string {
  const links = (value: (link: LinkStatus) => number): Sample[] =>
    devices.flatMap(({ name: device, links }) =>
      links.map((link) => [{ device, uplink: link.uplink }, value(link)] as const),
    );
  const logs = (value: (log: LogStatus) => number): Sample[] =>
    devices.flatMap(({ name: device, links }) =>
      links.flatMap(({ uplink, logs }) => logs.map((one) => [{ device, uplink, log: one.log }, value(one)] as const)),
    );
  return [
    metric(
      'coldproof_agent_link_up',
      'gauge',
      'Connected to the broker.',
      links(({ connected }) => Number(connected)),
    ),
    metric(
      'coldproof_agent_log_lag_batches',
      'gauge',
      'Batches that the log has given no receipt for.',
      logs(({ lag }) => lag),
    ),
    metric(
      'coldproof_agent_log_receipts_total',
      'counter',
      'Verified receipts of the log.',
      logs(({ receipts }) => receipts),
    ),
    metric(
      'coldproof_agent_log_missed_total',
      'counter',
      'Batches that the log cannot get from here any more.',
      logs(({ missed }) => missed),
    ),
    metric(
      'coldproof_agent_log_waiting_seconds',
      'gauge',
      'Since the log was last heard of while it owes receipts.',
      logs(({ waiting }) => waiting?.sec ?? 0),
    ),
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
