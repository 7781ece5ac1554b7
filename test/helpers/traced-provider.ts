/** For the coverage run: traces each call and transaction of a test, and notes the marks that it reached. */
import { appendFileSync } from 'node:fs';
import { join } from 'node:path';
import { JsonRpcProvider, type FetchRequest, type JsonRpcApiProviderOptions, type Networkish } from 'ethers';

/** Where the marks are noted. Undefined in an ordinary run of the tests, which traces nothing. */
export const coverageFolder = process.env['COLDPROOF_COVERAGE'];

/** Gives each number that the identity precompile was called with, once. */
const tracer = `{
  seen: {},
  enter: function (frame) {
    if (toHex(frame.getTo()).slice(2) === '${'4'.padStart(40, '0')}') this.seen[toHex(frame.getInput())] = true;
  },
  exit: function () {},
  fault: function () {},
  result: function () { return Object.keys(this.seen); },
}`;

export class TracedProvider extends JsonRpcProvider {
  readonly #file: string;
  readonly #seen = new Set<string>();
  readonly #pending = new Set<string>();

  constructor(folder: string, request: string | FetchRequest, network: Networkish, options: JsonRpcApiProviderOptions) {
    super(request, network, options);
    this.#file = join(folder, `${process.pid}.marks`);
  }

  override async send(method: string, params: unknown[]): Promise<unknown> {
    // Before the answer is known: a call that reverts is traced, too. An estimate runs on the block to come.
    if (method === 'eth_call') await this.#traceCall(params[0], params[1] ?? 'latest');
    if (method === 'eth_estimateGas') await this.#traceCall(params[0], 'pending');
    // A transaction is traced as soon as it is mined, and before a revert of the chain takes it away.
    if (method === 'eth_getTransactionReceipt' || method === 'evm_revert') await this.#traceMined();
    const answer: unknown = await super.send(method, params);
    if (/^eth_send(Raw)?Transaction$/.test(method)) this.#pending.add(answer as string);
    return answer;
  }

  async #traceCall(call: unknown, block: unknown): Promise<void> {
    this.#note(await super.send('debug_traceCall', [call, block, { tracer }]));
  }

  async #traceMined(): Promise<void> {
    for (const hash of this.#pending) {
      if ((await super.send('eth_getTransactionReceipt', [hash])) === null) continue;
      this.#pending.delete(hash);
      this.#note(await super.send('debug_traceTransaction', [hash, { tracer }]));
    }
  }

  #note(marks: unknown): void {
    for (const mark of marks as string[]) {
      if (this.#seen.has(mark)) continue;
      this.#seen.add(mark);
      appendFileSync(this.#file, `${mark}\n`);
    }
  }
}
