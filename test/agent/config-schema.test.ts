/** The JSON Schema that `main.js schema` prints says what the check of the file says, as far as a schema can. */
import { readFileSync } from 'node:fs';
import t from 'tap';
import { parse } from 'yaml';
import { parseConfig } from '@coldproof/agent/config';
import type { JsonSchema } from '@coldproof/agent/config-field';
import { command } from './process.ts';

const readme = readFileSync(new URL('../../../README.md', import.meta.url), 'utf8');
const yaml = /^```yaml agent\.yaml\n([\s\S]*?)^```$/m.exec(readme)![1]!;
const schema = JSON.parse(command('schema').out) as JsonSchema;

/** Paths where `value` is not as the schema has it. Keywords of 2020-12 that ours does not use are an error. */
function problems(value: unknown, schema: JsonSchema, path = ''): string[] {
  const known = ['type', 'properties', 'required', 'additionalProperties', 'items', 'minItems', 'maxItems', 'enum'];
  const also = ['pattern', 'minimum', 'maximum', 'description', 'default', '$schema', 'title'];
  for (const keyword of Object.keys(schema)) {
    if (![...known, ...also].includes(keyword)) throw new Error(`${path}: keyword ${keyword}`);
  }
  const wrong = [path];
  if (schema['enum'] !== undefined) return (schema['enum'] as unknown[]).includes(value) ? [] : wrong;
  switch (schema['type']) {
    case 'string':
      return typeof value === 'string' && new RegExp(schema['pattern'] as string, 'u').test(value) ? [] : wrong;
    case 'integer':
    case 'number': {
      const isNumber = schema['type'] === 'number' ? typeof value === 'number' : Number.isInteger(value);
      const number = Number(value);
      return isNumber && number >= Number(schema['minimum']) && number <= Number(schema['maximum']) ? [] : wrong;
    }
    case 'array': {
      if (!Array.isArray(value)) return wrong;
      if (value.length < Number(schema['minItems']) || value.length > Number(schema['maxItems'])) return wrong;
      return value.flatMap((item, i) => problems(item, schema['items'] as JsonSchema, `${path}[${i}]`));
    }
    case 'object':
      return objectProblems(value, schema, path);
    default:
      throw new Error(`${path}: no type`);
  }
}

function objectProblems(value: unknown, schema: JsonSchema, path: string): string[] {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) return [path];
  const properties = schema['properties'] as { [key: string]: JsonSchema };
  const missing = (schema['required'] as string[]).filter((key) => !Object.hasOwn(value, key));
  const found = Object.entries(value).flatMap(([key, each]: [string, unknown]) =>
    Object.hasOwn(properties, key) ? problems(each, properties[key]!, `${path}.${key}`) : [`${path}.${key}`],
  );
  return [...missing.map((key) => `${path}.${key}`), ...found];
}

t.test('the configuration of the README is in order by both', (t) => {
  t.same(problems(parse(yaml), schema), []);
  t.ok(parseConfig(yaml).ok);
  t.end();
});

t.test('what is wrong in form is wrong at the same place for both', (t) => {
  const rows: readonly [from: string | RegExp, to: string, path: string][] = [
    ['stateDir: /var', 'stateDir: var', '.stateDir'],
    [/^stateDir.*\n/, '', '.stateDir'],
    ['sealSamplesMax: 15', 'sealSamplesMax: 1441', '.devices[0].sealSamplesMax'],
    ['sealSamplesMax: 15', 'sealSamplesMax: 1.5', '.devices[0].sealSamplesMax'],
    ['sealSamplesMax: 15', 'sealSamplesMin: 15', '.devices[0].sealSamplesMin'],
    ['channel: cargo-probe-1', 'channel: cargo-probe-17', '.devices[0].sensors[0].channel'],
    ['range: [-40, 70]', 'range: [-40]', '.devices[0].sensors[0].range'],
    ['range: [-40, 70]', 'range: [cold, 70]', '.devices[0].sensors[0].range[0]'],
    ['function: 4', 'function: 5', '.devices[0].sensors[1].modbus.function'],
    ['scale: 0.1', 'scale: 1e7', '.devices[0].sensors[1].modbus.scale'],
    ['unitId: 1', 'unitId: 248', '.lines[0].unitId'],
    ['reads: [TRUCK-7]', 'reads: []', '.sensorBroker.credentials[1].reads'],
    ['topics: [sensors/TRUCK-7] }', 'topics: [sensors/a#] }', '.sensorBroker.credentials[0].topics[0]'],
    ['url: mqtts:', 'url: http:', '.uplink.url'],
    [/logPublicKey: ../, 'logPublicKey: D7', '.uplink.logPublicKey'],
    ['http: { port: 9464 }', 'http: 9464', '.http'],
    ['http:', 'journal: { sizeMaxMiB: 8 }\nhttp:', '.journal.sizeMaxMiB'],
    ['http:', 'journal: { onFull: drop }\nhttp:', '.journal.onFull'],
    ['http:', 'clock: { source: ntp }\nhttp:', '.clock.source'],
  ];
  for (const [from, to, path] of rows) {
    const broken = yaml.replace(from, to);
    t.same(problems(parse(broken), schema), [path], `${String(from)} -> ${to}`);
    const checked = parseConfig(broken);
    t.match(checked, { ok: false }, path);
    if (!checked.ok) t.ok(checked.detail.includes(`${path.slice(1)}: expected`), checked.detail);
  }
  t.end();
});
