/**
 * What the parts of a configuration must be to each other. Looks at the file as it was written, not at its checked
 * form, so that a fault of form in one place does not hide a fault of relation in another.
 */
import type { Place } from './config-field.ts';
import { coversTopic, topicsOverlap } from './sensors/topic-filter.ts';

export function checkRelations(root: unknown, place: Place): void {
  const devices = items(root, 'devices', place);
  const lines = items(root, 'lines', place);
  const credentials = items(at(root, 'sensorBroker'), 'credentials', place.key('sensorBroker'));
  const signed = items(root, 'sensorSigned', place);
  const sensors = devices.flatMap(({ value, place }) => items(value, 'sensors', place));

  distinct([...devices, ...signed], ['name']);
  distinct(signed, ['publicKey']);
  distinct(signed, ['topic']);
  distinct(lines, ['name']);
  distinct(lines, ['path']);
  distinct(credentials, ['username']);
  for (const { value, place } of devices) distinct(items(value, 'sensors', place), ['channel']);
  distinct(
    sensors.map((each) => inside(each, 'mqtt')),
    ['topic', 'name'],
  );
  distinct(
    sensors.map((each) => inside(each, 'mqtt')),
    ['topic', 'value'],
  );
  checkFormats(sensors.map((each) => inside(each, 'mqtt')));

  const deviceNames = [...devices, ...signed].map(({ value }) => at(value, 'name'));
  for (const { value, place } of credentials.flatMap(({ value, place }) => items(value, 'reads', place))) {
    if (typeof value === 'string' && !deviceNames.includes(value))
      place.problem(value, 'the name of one of devices or sensorSigned');
  }

  checkClock(at(root, 'clock'), lines, place.key('clock'));
  const allowedTopics = credentials
    .flatMap(({ value, place }) => items(value, 'topics', place))
    .map((each) => each.value)
    .filter((topic) => typeof topic === 'string');
  checkSigned(
    signed,
    sensors.map((each) => inside(each, 'mqtt')),
    allowedTopics,
  );
  for (const each of sensors) {
    const mqtt = inside(each, 'mqtt');
    const topic = at(mqtt.value, 'topic');
    if (typeof topic === 'string' && !allowedTopics.some((allowed) => coversTopic(allowed, topic))) {
      mqtt.place.key('topic').problem(topic, 'a topic of one of sensorBroker.credentials');
    }
    const sparkplug = inside(each, 'sparkplug');
    const [group, node] = [at(sparkplug.value, 'group'), at(sparkplug.value, 'node')];
    if (typeof group === 'string' && typeof node === 'string') {
      const needed = `spBv1.0/${group}/+/${node}/#`;
      if (!allowedTopics.some((allowed) => coversTopic(allowed, needed))) {
        sparkplug.place.key('node').problem(node, `${needed} among the topics of sensorBroker.credentials`);
      }
    }
    for (const protocol of ['modbus', 'text', 'nmea'] as const) {
      const source = inside(each, protocol);
      const line = at(source.value, 'line');
      if (typeof line !== 'string') continue;
      const found = lines.find(({ value }) => at(value, 'name') === line);
      if (found === undefined) source.place.key('line').problem(line, 'the name of one of lines');
      else if ((at(found.value, 'protocol') ?? 'modbus') !== protocol) {
        source.place.key('line').problem(line, `a line of protocol ${protocol}`);
      }
    }
  }
}

function checkClock(clock: unknown, lines: readonly Item[], place: Place): void {
  const line = at(clock, 'line');
  const isNmea = lines.some(({ value }) => at(value, 'name') === line && at(value, 'protocol') === 'nmea');
  if (typeof line === 'string' && !isNmea)
    place.key('line').problem(line, 'the name of one of lines, of protocol nmea');
}

/** A message is read in one format: where SenML is expected, plain JSON would be refused at each message. */
function checkFormats(sources: readonly Item[]): void {
  const senml = sources.filter(({ value }) => at(value, 'name') !== undefined);
  const json = sources.filter(({ value }) => at(value, 'value') !== undefined);
  for (const { value, place } of json) {
    const topic = at(value, 'topic');
    const other = senml.find((each) => overlap(topic, at(each.value, 'topic')));
    if (other !== undefined) place.key('topic').problem(topic, `another topic than the SenML of ${other.place.path}`);
  }
}

/** An envelope is no sample: on one topic there are the one or the others. */
function checkSigned(signed: readonly Item[], sources: readonly Item[], allowedTopics: readonly string[]): void {
  for (const { value, place } of signed) {
    const topic = at(value, 'topic');
    if (typeof topic !== 'string') continue;
    if (!allowedTopics.some((allowed) => coversTopic(allowed, topic))) {
      place.key('topic').problem(topic, 'a topic of one of sensorBroker.credentials');
    }
    const other = sources.find((each) => overlap(topic, at(each.value, 'topic')));
    if (other !== undefined) place.key('topic').problem(topic, `another topic than ${other.place.path}`);
  }
}

function overlap(one: unknown, another: unknown): boolean {
  return typeof one === 'string' && typeof another === 'string' && topicsOverlap(one, another);
}

type Item = { readonly value: unknown; readonly place: Place };

/** The same place twice is told at the second. Entries without one of the keys are no pair. */
function distinct(entries: readonly Item[], keys: readonly string[]): void {
  const seen = new Map<string, string>();
  for (const { value, place } of entries) {
    const parts = keys.map((key) => at(value, key));
    if (!parts.every((part) => typeof part === 'string')) continue;
    const identity = JSON.stringify(parts);
    const first = seen.get(identity);
    if (first === undefined) seen.set(identity, place.path);
    else place.key(keys.at(-1)!).problem(parts.at(-1), `another ${keys.join(' and ')} than ${first}`);
  }
}

function inside({ value, place }: Item, key: string): Item {
  return { value: at(value, key), place: place.key(key) };
}

function items(value: unknown, key: string, place: Place): Item[] {
  const found = at(value, key);
  if (!Array.isArray(found)) return [];
  return found.map((each: unknown, i) => ({ value: each, place: place.key(key).key(i) }));
}

function at(value: unknown, key: string): unknown {
  if (typeof value !== 'object' || value === null) return undefined;
  return Object.getOwnPropertyDescriptor(value, key)?.value;
}
