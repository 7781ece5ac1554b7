/** A process of a benchmark that speaks in lines: what it prints, and a line on its stdin to go on. */
import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';

export class Child {
  readonly #process: ChildProcess;
  readonly #lines: AsyncIterator<string>;

  /** `file` is the name of a module of this folder. */
  constructor(file: string, args: readonly string[]) {
    const path = fileURLToPath(new URL(file, import.meta.url));
    const child = spawn(process.execPath, [path, ...args], { stdio: ['pipe', 'pipe', 'inherit'] });
    this.#process = child;
    this.#lines = createInterface({ input: child.stdout })[Symbol.asyncIterator]();
  }

  get pid(): number {
    return this.#process.pid ?? 0;
  }

  async line(): Promise<string> {
    const { value, done } = (await this.#lines.next()) as { value: string | undefined; done?: boolean };
    if (done === true || value === undefined) throw new Error(`a child ended with ${String(this.#process.exitCode)}`);
    return value;
  }

  async json<Answer>(): Promise<Answer> {
    // Said by a program of this folder.
    return JSON.parse(await this.line()) as Answer;
  }

  go(): void {
    this.#process.stdin?.write('go\n');
  }

  async end(): Promise<void> {
    if (this.#process.exitCode === null && this.#process.signalCode === null) await once(this.#process, 'exit');
  }

  kill(): void {
    this.#process.kill('SIGKILL');
  }
}
