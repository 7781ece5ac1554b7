/** What of our Solidity the marks that were reached stand for, and what is left. */
import type { Place } from './instrument.ts';

export type FileCoverage = {
  readonly file: string;
  readonly lines: Share;
  readonly branches: Share;
  /** As an editor opens them: file:line:column, and what was not reached. */
  readonly missing: readonly string[];
};

type Share = { readonly reached: number; readonly all: number };

/** A line is reached when each statement that begins on it was. */
export function measure(places: ReadonlyMap<number, Place>, reached: ReadonlySet<number>): FileCoverage[] {
  const files = new Set([...places.values()].map(({ file }) => file));
  return [...files].sort().map((file) => {
    const marks = [...places].filter(([, place]) => place.file === file);
    const isMissing = ([mark]: readonly [number, Place]): boolean => !reached.has(mark);
    const statements = marks.filter(([, { kind }]) => kind === 'statement');
    const lines = new Set(statements.map(([, { line }]) => line));
    const missingLines = new Set(statements.filter(isMissing).map(([, { line }]) => line));
    const branches = marks.filter(([, { kind }]) => kind !== 'statement');
    const missing = marks.filter(isMissing).map(([, place]) => place);
    return {
      file,
      lines: { reached: lines.size - missingLines.size, all: lines.size },
      branches: { reached: branches.length - branches.filter(isMissing).length, all: branches.length },
      missing: missing
        .sort((a, b) => a.line - b.line || a.column - b.column)
        .map(({ line, column, kind }) => `${file}:${line}:${column}: ${wordsOf[kind]}`),
    };
  });
}

const wordsOf: Readonly<Record<Place['kind'], string>> = {
  statement: 'never run',
  true: 'never true',
  false: 'never false',
  case: 'never taken',
};

export function print(files: readonly FileCoverage[]): string {
  const width = Math.max(...files.map(({ file }) => file.length));
  const row = (file: string, lines: string, branches: string): string =>
    `${file.padEnd(width)}  ${lines.padStart(20)}  ${branches.padStart(20)}`;
  const total = (of: 'lines' | 'branches'): Share => ({
    reached: files.reduce((sum, file) => sum + file[of].reached, 0),
    all: files.reduce((sum, file) => sum + file[of].all, 0),
  });
  return [
    row('', 'lines', 'branches'),
    ...files.map(({ file, lines, branches }) => row(file, show(lines), show(branches))),
    row('all', show(total('lines')), show(total('branches'))),
    ...files.flatMap(({ missing }) => missing),
  ].join('\n');
}

/** Rounded down: 100 % is all of it. */
function show({ reached, all }: Share): string {
  const percent = all === 0 ? 100 : Math.floor((1000 * reached) / all) / 10;
  return `${percent.toFixed(1)} % (${reached}/${all})`;
}
