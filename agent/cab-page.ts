/**
 * The page for the cab, at / of the agent's HTTP: one big word, the channels and the time left, the link, the queue.
 * Whole as it comes, without a script, a font or a picture from anywhere, so that it works where there is no network.
 */
import type { AgentStatus, DeviceStatus } from './status.ts';
import { gravest, type ChannelWarning } from './judge.ts';
import type { WarningState } from './config-terms.ts';

/** Nothing but its own style, in no frame (Content Security Policy Level 3). */
export const cabPagePolicy = "default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'; base-uri 'none'";

const refreshSec = 5;

const words: { readonly [state in WarningState]: string } = {
  ok: 'OK',
  warning: 'WARNING',
  excursion: 'EXCURSION',
  'no-data': 'NO DATA',
};

const style = `
body{margin:0;font:20px/1.4 sans-serif;color:#111;background:#fff}
header{padding:.4em .6em;font-size:15vmin;font-weight:bold;line-height:1;color:#fff;background:#555}
.ok{background:#0a6b2d}.warning{background:#b35c00}.excursion{background:#b00020}.no-data{background:#444}
section{padding:.2em 1em}h2{margin:.6em 0 .2em}table{border-collapse:collapse;width:100%}
td,th{padding:.25em .6em;text-align:left;border-bottom:1px solid #ccc}td.n{font-size:1.6em;font-weight:bold}
b.ok,b.warning,b.excursion,b.no-data{color:#fff;padding:.1em .4em}footer{padding:1em;color:#555}`;

export function formatCabPage({ devices, warn }: AgentStatus, nowMs: number): string {
  const watched = devices.flatMap(({ terms }) => (terms === undefined ? [] : [terms.state]));
  const state = gravest(watched);
  const head = watched.length === 0 ? ['none', 'NO TERMS'] : [state, words[state]];
  const failure = warn.failure === undefined ? '' : `<p>Warning command failed: ${escape(warn.failure)}</p>`;
  return `<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta http-equiv="refresh" content="${refreshSec}">
<meta name="viewport" content="width=device-width"><title>${head[1]!}</title><style>${style}</style></head>
<body><header class="${head[0]!}">${head[1]!}</header>
${devices.map((device) => formatDevice(device, nowMs)).join('\n')}
<footer>${new Date(nowMs).toISOString().replace('T', ' ').slice(0, 19)} UTC${failure}</footer></body></html>
`;
}

function formatDevice({ name, link, queued, unsealed, terms, faults }: DeviceStatus, nowMs: number): string {
  const order = terms === undefined ? 'no terms' : `order ${escape(terms.orderId)}`;
  const rows = Object.entries(terms?.channels ?? {}).map(([channel, each]) => formatChannel(channel, each, nowMs));
  const others = Object.entries(faults).map(([channel, fault]) => `${escape(channel)}: ${escape(fault)}`);
  const away = link.why === undefined ? '' : `, ${escape(link.why)}`;
  return `<section><h2>${escape(name)}, ${order}</h2>
<table>${rows.join('\n')}</table>
<p>Link ${link.connected ? 'up' : `down${away}`}. Queue: ${queued} batches, ${unsealed} readings.${
    others.length === 0 ? '' : ` Faults: ${others.join(', ')}.`
  }</p></section>`;
}

function formatChannel(channel: string, warning: ChannelWarning, nowMs: number): string {
  const { state, why, value, at, since, dueAt, found } = warning;
  const shown = value === null ? '&ndash;' : `${value.toFixed(2)} °C`;
  const told = [
    ...(why === undefined ? [] : [escape(why)]),
    ...(since === undefined ? [] : [`outside since ${clockOf(since)}`]),
    ...(dueAt === undefined ? [] : [`${formatMinutes(Date.parse(dueAt) - nowMs)} left`]),
    ...(found ?? []).map(({ rule, openedAt, durationSec }) => {
      return `${escape(rule)} from ${clockOf(openedAt)}, ${formatMinutes(durationSec * 1_000)}`;
    }),
  ];
  const cells = [`<td class="n">${shown}</td>`, `<td><b class="${state}">${words[state]}</b> ${told.join('; ')}</td>`];
  return `<tr><th>${escape(channel)}</th>${cells.join('')}<td>${at === undefined ? '' : clockOf(at)}</td></tr>`;
}

/** "14 min 05 s"; nothing is left of a negative time. */
function formatMinutes(ms: number): string {
  const sec = Math.max(0, Math.round(ms / 1_000));
  return `${Math.floor(sec / 60)} min ${String(sec % 60).padStart(2, '0')} s`;
}

function clockOf(iso: string): string {
  return `${iso.slice(11, 16)} UTC`;
}

/** Text of the configuration, the network and the disk (HTML, "serializing HTML fragments"). */
function escape(text: string): string {
  return text
    .replaceAll('&', '&amp;')
    .replaceAll('<', '&lt;')
    .replaceAll('>', '&gt;')
    .replaceAll('"', '&quot;')
    .replaceAll("'", '&#39;');
}
