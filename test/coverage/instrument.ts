/**
 * Writes marks into a Solidity source: one before each statement, and for each outcome of each condition. A mark is a
 * call without gas of the identity precompile, with the mark's number: it changes nothing, it is never optimized away,
 * it costs the same wherever it stands, and every trace shows it. Conditions are those of `if`, loops, `?:` and
 * `require`, and each operand of && and || on its own; in assembly those of `if` and `for`, and the cases of `switch`.
 */
import { createHash } from 'node:crypto';
import { childrenOf, isNode, nodeAt, nodesAt, spanOf, type Node } from './syntax-tree.ts';

/** What a mark stands for; `line` and `column` from 1. */
export type Place = {
  readonly file: string;
  readonly line: number;
  readonly column: number;
  readonly kind: 'statement' | 'true' | 'false' | 'case';
};

export type Instrumented = { readonly content: string; readonly places: ReadonlyMap<number, Place> };

/** Marks of one file: 12 bits under 20 of the file's name, so that a file's marks depend on that file alone. */
const marksPerFile = 1 << 12;
/** More than a file has. */
const editsMax = 1 << 20;

export const marksSource = 'coverage-marks.sol';

/** The zero slot, which Solidity only ever reads, is used for the number and is zero again afterwards. */
const call = 'pop(staticcall(0, 4, 0x7c, 4, 0, 0)) mstore(0x60, 0)';

export const marksContent = `// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;
function covered(uint256 mark) view { assembly ("memory-safe") { mstore(0x60, mark) ${call} } }
function outcome(bool value, uint256 mark) view returns (bool) {
  assembly ("memory-safe") { mstore(0x60, add(mark, iszero(value))) ${call} }
  return value;
}
`;

const yulMarks =
  ` function yulCovered(mark) { mstore(0x60, mark) ${call} }` +
  ` function yulOutcome(value, mark) -> same { mstore(0x60, add(mark, iszero(value))) ${call} same := value }`;

/** With marks only if `isMarked`; in any case with `view` for `pure`, since marked functions can't be pure. */
export function instrument(file: string, content: string, tree: unknown, isMarked: boolean): Instrumented {
  if (!isNode(tree)) throw new TypeError(`${file}: no syntax tree`);
  const instrumenter = new Instrumenter(file, Buffer.from(content), isMarked);
  instrumenter.definitions(tree);
  return instrumenter.finish();
}

class Instrumenter {
  readonly #file: string;
  readonly #source: Buffer;
  readonly #isMarked: boolean;
  readonly #places = new Map<number, Place>();
  readonly #edits: { readonly at: number; readonly end: number; readonly text: string; readonly order: number }[] = [];
  readonly #firstMark: number;

  constructor(file: string, source: Buffer, isMarked: boolean) {
    this.#file = file;
    this.#source = source;
    this.#isMarked = isMarked;
    const name = createHash('sha256').update(file).digest().readUInt32BE(0);
    this.#firstMark = Math.floor(name / marksPerFile) * marksPerFile;
  }

  finish(): Instrumented {
    if (this.#places.size > 0) this.#before(0, `import {covered, outcome} from "${marksSource}"; `);
    let content = '';
    let from = 0;
    // At one place suffixes come first, from the inside out, then prefixes, from the outside in.
    for (const { at, end, text } of this.#edits.sort((a, b) => a.at - b.at || a.order - b.order)) {
      content += this.#source.toString('utf8', from, at) + text;
      from = end;
    }
    return { content: content + this.#source.toString('utf8', from), places: this.#places };
  }

  definitions(node: Node): void {
    if (node.nodeType !== 'FunctionDefinition' && node.nodeType !== 'ModifierDefinition') {
      for (const child of childrenOf(node)) this.definitions(child);
      return;
    }
    const body = node['body'];
    if (node['stateMutability'] === 'pure') this.#replacePure(node, isNode(body) ? spanOf(body).start : undefined);
    if (!isNode(body) || !this.#isMarked) return;
    if (nodesAt(body, 'statements').length === 0) this.#after(spanOf(body).start + 1, this.#covered(node, 'statement'));
    this.#block(body);
  }

  #replacePure(definition: Node, bodyAt: number | undefined): void {
    const { start, end } = spanOf(definition);
    const header = this.#source.toString('latin1', start, bodyAt ?? end);
    const at = start + header.search(/\bpure\b/);
    this.#edits.push({ at, end: at + 'pure'.length, text: 'view', order: 0 });
  }

  #block(block: Node): void {
    for (const statement of nodesAt(block, 'statements')) this.#statement(statement);
  }

  /** The body of an `if` or a loop gets braces, so that a mark finds room in it. */
  #body(body: Node): void {
    if (body.nodeType === 'Block') {
      this.#block(body);
      return;
    }
    const { start, end } = spanOf(body);
    this.#before(start, '{ ');
    this.#statement(body);
    // A statement's span ends before its semicolon, but for a bare `return;` and for those that end in a block.
    const isWhole = ['}', ';'].includes(this.#source.toString('latin1', end - 1, end));
    this.#after(isWhole ? end : this.#source.indexOf(';', end) + 1, ' }');
  }

  #statement(statement: Node): void {
    if (statement.nodeType === 'PlaceholderStatement') return;
    if (statement.nodeType === 'Block' || statement.nodeType === 'UncheckedBlock') {
      this.#block(statement);
      return;
    }
    this.#before(spanOf(statement).start, this.#covered(statement, 'statement'));
    switch (statement.nodeType) {
      case 'InlineAssembly':
        this.#assembly(nodeAt(statement, 'AST'));
        return;
      case 'TryStatement':
        this.#expression(nodeAt(statement, 'externalCall'));
        for (const clause of nodesAt(statement, 'clauses')) {
          const block = nodeAt(clause, 'block');
          this.#after(spanOf(block).start + 1, this.#covered(clause, 'case'));
          this.#block(block);
        }
        return;
      case 'IfStatement':
      case 'ForStatement':
      case 'WhileStatement':
      case 'DoWhileStatement':
        this.#control(statement);
        return;
      default:
        for (const child of childrenOf(statement)) this.#expression(child);
    }
  }

  #control(statement: Node): void {
    for (const [field, child] of Object.entries(statement)) {
      if (!isNode(child)) continue;
      if (field === 'condition') this.#condition(child);
      else if (/[bB]ody$/.test(field)) this.#body(child);
      else this.#expression(child);
    }
  }

  #expression(node: Node): void {
    const { nodeType, operator, expression } = node;
    const isRequire = nodeType === 'FunctionCall' && isNode(expression) && expression['name'] === 'require';
    const condition = isRequire ? nodesAt(node, 'arguments')[0] : node['condition'];
    for (const child of childrenOf(node)) {
      if (child === condition || operator === '&&' || operator === '||') this.#condition(child);
      else this.#expression(child);
    }
  }

  #condition(node: Node): void {
    const { nodeType, operator } = node;
    if (nodeType === 'Literal') return;
    const isSplit = operator === '&&' || operator === '||' || operator === '!';
    if (isSplit || (nodeType === 'TupleExpression' && nodesAt(node, 'components').length === 1)) {
      for (const child of childrenOf(node)) this.#condition(child);
      return;
    }
    const { start, end } = spanOf(node);
    this.#before(start, 'outcome(');
    this.#expression(node);
    this.#after(end, `, ${this.#outcomes(node)})`);
  }

  /** Whoever looks at what a call returned would see what a mark's call returned: no marks there. */
  #assembly(block: Node): void {
    const { start, end } = spanOf(block);
    if (this.#source.toString('utf8', start, end).includes('returndata')) return;
    this.#after(start + 1, yulMarks);
    this.#yulBlock(block);
  }

  #yulBlock(block: Node): void {
    for (const statement of nodesAt(block, 'statements')) this.#yulStatement(statement);
  }

  #yulStatement(statement: Node): void {
    const { nodeType } = statement;
    if (nodeType === 'YulFunctionDefinition') {
      this.#yulBlock(nodeAt(statement, 'body'));
      return;
    }
    if (nodeType === 'YulBlock') {
      this.#yulBlock(statement);
      return;
    }
    this.#before(spanOf(statement).start, `yulCovered(${this.#mark(statement, 'statement')}) `);
    if (nodeType === 'YulSwitch') {
      for (const branch of nodesAt(statement, 'cases')) {
        const body = nodeAt(branch, 'body');
        this.#after(spanOf(body).start + 1, ` yulCovered(${this.#mark(branch, 'case')})`);
        this.#yulBlock(body);
      }
    } else if (nodeType === 'YulIf' || nodeType === 'YulForLoop') {
      const condition = nodeAt(statement, 'condition');
      if (condition.nodeType !== 'YulLiteral') {
        const { start, end } = spanOf(condition);
        this.#before(start, 'yulOutcome(');
        this.#after(end, `, ${this.#outcomes(condition)})`);
      }
      this.#yulBlock(nodeAt(statement, 'body'));
    }
  }

  #covered(node: Node, kind: Place['kind']): string {
    return `covered(${this.#mark(node, kind)}); `;
  }

  /** The mark of the true outcome; the false one has the next. */
  #outcomes(node: Node): number {
    const mark = this.#mark(node, 'true');
    this.#mark(node, 'false');
    return mark;
  }

  #mark(node: Node, kind: Place['kind']): number {
    const before = this.#source.toString('utf8', 0, spanOf(node).start).split('\n');
    const place = { file: this.#file, line: before.length, column: before.at(-1)!.length + 1, kind };
    const mark = this.#firstMark + this.#places.size;
    if (this.#places.size === marksPerFile) throw new RangeError(`${this.#file}: more than ${marksPerFile} marks`);
    this.#places.set(mark, place);
    return mark;
  }

  #before(at: number, text: string): void {
    this.#edits.push({ at, end: at, text, order: this.#edits.length });
  }

  #after(at: number, text: string): void {
    this.#edits.push({ at, end: at, text, order: this.#edits.length - editsMax });
  }
}
