/**
 * The forms that a value of the configuration can have. A field notes what is wrong and goes on, so that one reading
 * of a file finds all of its problems.
 */
export type Problem = {
  /** Where, as `devices[0].sealAgeSecMax`. */
  readonly path: string;
  readonly value: string;
  /** What is allowed there. */
  readonly bound: string;
};

/** A place in the file. */
export class Place {
  readonly path: string;
  readonly #problems: Problem[];

  constructor(path: string, problems: Problem[]) {
    this.path = path;
    this.#problems = problems;
  }

  key(name: string | number): Place {
    const step = typeof name === 'number' ? `[${name}]` : `${this.path === '' ? '' : '.'}${name}`;
    return new Place(this.path + step, this.#problems);
  }

  problem(value: unknown, bound: string): null {
    // A secret that was written here by mistake must not go on into a log.
    const isSecret = /(pass(word|phrase)|\bpin)[^.]*$/i.test(this.path) && value !== undefined;
    this.#problems.push({ path: this.path, value: isSecret ? 'what is not shown here' : describe(value), bound });
    return null;
  }
}

/** Of JSON Schema 2020-12. What a schema cannot say (relations, bytes of a batch) only the check of the file does. */
export type JsonSchema = { readonly [keyword: string]: unknown };

export type Field<Value> = {
  /** Null after a problem; undefined is what an optional value may be. */
  (value: unknown, place: Place): Value | null;
  /** Undefined: any value, as far as a schema can tell. */
  readonly schema?: JsonSchema;
  readonly isOptional?: boolean;
};

/** The same form twice: as a check, and as a schema for editors. */
export function described<Value>(
  schema: JsonSchema,
  check: (value: unknown, place: Place) => Value | null,
): Field<Value> {
  return Object.assign(check, { schema });
}

type Fields = { readonly [key: string]: Field<unknown> };
type ValueOf<Each> = Each extends (value: unknown, place: Place) => infer Value ? Value : never;
/** Each value of the record, null where there was a problem. */
export type Formed<Shape extends Fields> = { readonly [Key in keyof Shape]: ValueOf<Shape[Key]> };
type Sound<Shape extends Fields> = { readonly [Key in keyof Shape]: Exclude<ValueOf<Shape[Key]>, null> };

/**
 * Strict: a key that the shape does not have is a problem, as it is most often a misspelt one. `check` looks at what
 * the forms do not show, also when one of them had a problem, and gives the record's value.
 */
export function record<Shape extends Fields, Value>(
  shape: Shape,
  check: (formed: Formed<Shape>, place: Place) => Value | null,
): Field<Value>;
export function record<Shape extends Fields>(shape: Shape): Field<Sound<Shape>>;
export function record<Shape extends Fields, Value>(
  shape: Shape,
  check?: (formed: Formed<Shape>, place: Place) => Value | null,
): Field<Value | Sound<Shape>> {
  const shapes = Object.entries(shape);
  const schema = {
    type: 'object',
    properties: Object.fromEntries(shapes.map(([key, field]) => [key, field.schema ?? {}])),
    required: shapes.filter(([, { isOptional = false }]) => !isOptional).map(([key]) => key),
    additionalProperties: false,
  };
  return described(schema, (value, place) => {
    if (typeof value !== 'object' || value === null || Array.isArray(value)) return place.problem(value, 'a mapping');
    const given = new Map<string, unknown>(Object.entries(value));
    for (const key of given.keys()) {
      const keys = Object.keys(shape).join(', ');
      if (!Object.hasOwn(shape, key)) place.key(key).problem(given.get(key), `one of ${keys}`);
    }
    const entries = Object.entries(shape).map(([key, field]) => [key, field(given.get(key), place.key(key))] as const);
    // Object.fromEntries forgets which key has which type; the shape says it.
    const formed = Object.fromEntries(entries) as Formed<Shape>;
    const result = check === undefined ? (formed as Sound<Shape>) : check(formed, place);
    return entries.some(([, each]) => each === null) ? null : result;
  });
}

export function list<Item>(item: Field<Item>, least: number, most: number): Field<readonly Item[]> {
  const schema = { type: 'array', items: item.schema ?? {}, minItems: least, maxItems: most };
  return described(schema, (value, place) => {
    if (!Array.isArray(value) || value.length < least || value.length > most) {
      return place.problem(value, `a list of ${least} to ${most}`);
    }
    const items = value.map((each, i) => item(each, place.key(i)));
    const sound = items.filter((each) => each !== null);
    return sound.length === items.length ? sound : null;
  });
}

export function text(pattern: RegExp, bound: string): Field<string> {
  return described({ type: 'string', pattern: pattern.source, description: bound }, (value, place) =>
    typeof value === 'string' && pattern.test(value) ? value : place.problem(value, bound),
  );
}

export const name = text(/^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$/, '1 to 64 of A-Z a-z 0-9 . _ -, a letter or digit first');
export const path = text(/^\/[^\0]{1,4095}$/, 'an absolute path');

export function integer(least: number, most: number): Field<number> {
  return described({ type: 'integer', minimum: least, maximum: most }, (value, place) => {
    if (Number.isInteger(value) && Number(value) >= least && Number(value) <= most) return Number(value);
    return place.problem(value, `an integer, ${least} <= n <= ${most}`);
  });
}

export function finite(least: number, most: number): Field<number> {
  return described({ type: 'number', minimum: least, maximum: most }, (value, place) => {
    if (typeof value === 'number' && value >= least && value <= most) return value;
    return place.problem(value, `a number, ${least} <= x <= ${most}`);
  });
}

export function oneOf<const Choice extends string | number>(...choices: Choice[]): Field<Choice> {
  const bound = `one of ${choices.join(', ')}`;
  return described(
    { enum: choices },
    (value, place) => choices.find((each) => each === value) ?? place.problem(value, bound),
  );
}

export function optional<Value>(field: Field<Value>): Field<Value | undefined>;
export function optional<Value>(field: Field<Value>, fallback: Value): Field<Value>;
export function optional<Value>(field: Field<Value>, fallback?: Value): Field<Value | undefined> {
  const isPlain = ['string', 'number', 'boolean'].includes(typeof fallback);
  const check = (value: unknown, place: Place) => (value === undefined ? fallback : field(value, place));
  return Object.assign(check, {
    schema: { ...field.schema, ...(isPlain ? { default: fallback } : {}) },
    isOptional: true,
  });
}

function describe(value: unknown): string {
  if (value === undefined) return 'nothing';
  const words = JSON.stringify(value).replace(/\/\/[^/@]*@/, '//***@');
  return words.length <= 60 ? words : `${words.slice(0, 57)}...`;
}
