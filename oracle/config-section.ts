/** One mapping of a configuration file: reads its keys by form and collects what is wrong with them. */
import { readFileSync } from 'node:fs';
import { parse } from 'yaml';
import { OperatingError, describeError } from './operating-error.ts';

type Shared = { readonly problems: string[]; readonly environment: NodeJS.ProcessEnv; isStrict: boolean };

export class Section {
  readonly #path: string;
  readonly #values: Readonly<Record<string, unknown>>;
  readonly #shared: Shared;
  readonly #sections = new Map<string, Section>();
  readonly #read = new Set<string>();
  readonly #entries: Section[] = [];

  private constructor(path: string, value: unknown, shared: Shared) {
    this.#path = path;
    this.#shared = shared;
    const isMapping = typeof value === 'object' && value !== null && !Array.isArray(value);
    if (!isMapping && value !== undefined && value !== null)
      this.#say(path === '' ? 'the file' : path, value, 'a mapping');
    this.#values = isMapping ? (value as Record<string, unknown>) : {};
  }

  static root(value: unknown, environment: NodeJS.ProcessEnv): Section {
    return new Section('', value, { problems: [], environment, isStrict: true });
  }

  /** For a reader that wants some keys only. */
  ignoreUnread(): void {
    this.#shared.isStrict = false;
  }

  /** The problems of this section and all below it. Call it on the root, once, after everything was read. */
  finish(): readonly string[] {
    for (const key of Object.keys(this.#values)) {
      if (this.#shared.isStrict && !this.#read.has(key)) this.problem(key, this.#values[key], 'no such key');
    }
    for (const below of [...this.#sections.values(), ...this.#entries]) below.finish();
    return this.#shared.problems;
  }

  problem(key: string, value: unknown, expected: string): void {
    this.#say(this.#path === '' ? key : `${this.#path}.${key}`, value, expected);
  }

  has(key: string): boolean {
    return this.#value(key) !== undefined;
  }

  section(key: string): Section {
    const known = this.#sections.get(key);
    if (known !== undefined) return known;
    const below = new Section(this.#path === '' ? key : `${this.#path}.${key}`, this.#value(key), this.#shared);
    this.#sections.set(key, below);
    return below;
  }

  /** Empty with a problem when it is missing without a fallback, or no text. */
  text(key: string, fallback?: string): string {
    const value = this.#value(key) ?? fallback;
    if (typeof value === 'string' && value !== '') return value;
    this.problem(key, value, 'text');
    return '';
  }

  integer(key: string, { least, most, fallback }: { least: number; most: number; fallback?: number }): number {
    const value = this.#value(key) ?? fallback;
    if (typeof value === 'number' && Number.isInteger(value) && value >= least && value <= most) return value;
    this.problem(key, value, `a whole number from ${least} to ${most}`);
    return least;
  }

  /** Undefined when it is absent. */
  optionalTexts(key: string): string[] | undefined {
    return this.#value(key) === undefined ? undefined : this.texts(key);
  }

  texts(key: string, fallback?: string[]): string[] {
    const value = this.#value(key) ?? fallback;
    if (Array.isArray(value) && value.every((each) => typeof each === 'string')) return value;
    this.problem(key, value, 'a list of texts');
    return [];
  }

  /** Empty when it is absent and `isOptional`. */
  list(key: string, { isOptional = false } = {}): Section[] {
    const value = this.#value(key) ?? (isOptional ? [] : undefined);
    if (!Array.isArray(value)) {
      this.problem(key, value, 'a list');
      return [];
    }
    const path = this.#path === '' ? key : `${this.#path}.${key}`;
    const entries = value.map((each: unknown, i) => new Section(`${path}[${i}]`, each, this.#shared));
    this.#entries.push(...entries);
    return entries;
  }

  /** The value of the variable that `key` names; or, where that is not set, of the file that NAME_FILE names. */
  secret(key: string, fallback?: string): string {
    const name = this.text(key, fallback);
    if (name === '') return '';
    const value = this.#shared.environment[name] ?? this.#secretFile(key, name);
    if (value !== undefined && value !== '') return value;
    this.problem(key, name, 'the name of an environment variable that is set');
    return '';
  }

  #secretFile(key: string, name: string): string | undefined {
    const path = this.#shared.environment[`${name}_FILE`];
    if (path === undefined) return undefined;
    try {
      return readFileSync(path, 'utf8').replace(/\r?\n$/, '');
    } catch (error) {
      this.problem(key, path, `a file that can be read (${describeError(error)})`);
      return undefined;
    }
  }

  /** Null is what YAML makes of a key without a value: as good as absent. */
  #value(key: string): unknown {
    this.#read.add(key);
    return this.#values[key] ?? undefined;
  }

  #say(where: string, value: unknown, expected: string): void {
    const got = value === undefined ? 'nothing' : JSON.stringify(value).slice(0, 100);
    this.#shared.problems.push(`${where}: expected ${expected}, got ${got}`);
  }
}

/** Reads a YAML file, throws all that is wrong with it. */
export function readSections<Checked>(
  path: string,
  environment: NodeJS.ProcessEnv,
  read: (root: Section) => Checked,
): Checked {
  let parsed: unknown;
  try {
    parsed = parse(readFileSync(path, 'utf8'), { maxAliasCount: 0 });
  } catch (cause) {
    throw new OperatingError('config-invalid', `${path}: ${describeError(cause)}`, { retry: 'never', cause });
  }
  const root = Section.root(parsed, environment);
  const config = read(root);
  const problems = root.finish();
  if (problems.length === 0) return config;
  const message = [`${path}: problems found: ${problems.length}`, ...problems].join('\n  ');
  throw new OperatingError('config-invalid', message, { retry: 'never' });
}
