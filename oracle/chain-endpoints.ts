/**
 * Several RPC endpoints of one chain behind one door.
 *
 *   new, or after a fault --> chain id right? --> head not behind? --> up
 *          ^                        | no                | no            | fault, time-out, broken answer
 *          |                        v                   v               v
 *          +------- later ----- wrong-chain          lagging           down
 *
 * A read goes to the first endpoint of the list that is up; when that fails, to the next one. The way back to an
 * earlier one is taken only where a caller begins anew by asking for the latest block. A raw transaction goes to all:
 * each may be the one whose peers pass it on, and the chain takes it once.
 *
 * An endpoint whose head is lower than one that another has shown is behind. Read from, it would look like a
 * reorganisation; so it waits until it has caught up, or until nobody has shown the higher head for a while.
 */
import {
  JsonRpcApiProvider,
  Network,
  keccak256,
  type JsonRpcError,
  type JsonRpcPayload,
  type JsonRpcResult,
} from 'ethers';
import { Transport, targetOf, type Target } from './chain-transport.ts';
import { realClock, type Clock } from './clock.ts';
import { silent, type Log } from './log-line.ts';
import { OperatingError, describeError } from './operating-error.ts';

/**
 * How the nodes took a raw transaction. 'known' is as good as 'accepted'; at 'nonce-used' the sender must look for its
 * hashes, since one of them may be what used it.
 */
export type SendOutcome = 'accepted' | 'known' | 'nonce-used' | 'underpriced' | 'insufficient-funds';

export type EndpointHealth = {
  /** Scheme, host and port; with a number where two have the same. User part, path and query may hold keys. */
  readonly endpoint: string;
  readonly state: 'new' | 'up' | 'down' | 'lagging' | 'wrong-chain';
  readonly isInUse: boolean;
  /** Newest block that it has shown. */
  readonly head: number | null;
  readonly error: string | null;
};

export type EndpointSettings = {
  readonly rpcUrls: readonly string[];
  readonly chainId: number;
  /** A request that takes longer has failed. */
  readonly timeoutMs?: number | undefined;
  readonly log?: Log;
  readonly pace?: Pick<Clock, 'nowMs'>;
};

const defaultTimeoutMs = 10_000;
/** An endpoint that failed is left alone for so long while another one answers; one of another chain for longer. */
const retryMs = 5_000;
const wrongChainRetryMs = 60_000;
/** What an endpoint that is not in use says of itself is asked so often. */
const probeMs = 60_000;
/** A head that stood still for so long is held against the other endpoints'. */
const stallMs = 60_000;
/** A head that nobody shows any more: the chain was rolled back for good, or the endpoint that showed it had lied. */
const lagMsMax = 600_000;

type Endpoint = {
  readonly name: string;
  readonly target: Target;
  state: EndpointHealth['state'];
  head: number | null;
  /** Since when its head is that. */
  headMs: number;
  error: string | null;
  retryAtMs: number;
};

type RpcFailure = { readonly code: number; readonly message: string; readonly data?: unknown };
type Answer = { readonly result: unknown } | { readonly error: RpcFailure };

export class ChainEndpoints {
  /** For ABI calls, whose reverts ethers reads. Asks through this door. */
  readonly provider: JsonRpcApiProvider;
  readonly #endpoints: readonly Endpoint[];
  readonly #chainId: number;
  readonly #transport: Transport;
  readonly #log: Log;
  readonly #pace: Pick<Clock, 'nowMs'>;
  #inUse: Endpoint | undefined;
  #changes = 0;
  #seen: { number: number; by: Endpoint; atMs: number } | undefined;
  #probedMs: number;
  #id = 0;

  constructor({ rpcUrls, chainId, timeoutMs = defaultTimeoutMs, log = silent, pace = realClock }: EndpointSettings) {
    this.#endpoints = rpcUrls.map((url, i) => endpointOf(url, nameOf(rpcUrls, i)));
    this.#chainId = chainId;
    this.#transport = new Transport(timeoutMs);
    this.#log = log;
    this.#pace = pace;
    this.#probedMs = pace.nowMs();
    this.provider = new Door(chainId, (method, params) => this.#read(method, params));
  }

  /** Rises whenever another endpoint answers than before: what was read before and after may be of two chains. */
  get changes(): number {
    return this.#changes;
  }

  health(): EndpointHealth[] {
    return this.#endpoints.map((endpoint) => {
      const { name, state, head, error } = endpoint;
      return { endpoint: name, state, isInUse: endpoint === this.#inUse && state === 'up', head, error };
    });
  }

  /** Of the first endpoint that can say. Throws 'chain-unreachable', or 'chain-id-wrong' when all are of another. */
  async send<Value>(method: string, params: readonly unknown[]): Promise<Value> {
    const answer = await this.#read(method, params);
    // The JSON-RPC standard names the form of the answer; a node that breaks it makes the readers throw.
    if ('result' in answer) return answer.result as Value;
    const names = this.#endpoints.map(({ name }) => name).join(', ');
    throw unreachable(`${method} at ${names} failed: ${answer.error.message}`, new RpcRefusal(answer.error));
  }

  /** What another endpoint than the one in use says; undefined when there is none, or it does not say. */
  async second<Value>(method: string, params: readonly unknown[]): Promise<Value | undefined> {
    const others = this.#endpoints.filter((each) => each !== this.#inUse && this.#isDue(each));
    for (const endpoint of others) {
      if (endpoint.state !== 'up' && !(await this.#admit(endpoint))) continue;
      const answer = await this.#post(endpoint, method, params);
      if (answer !== undefined && 'result' in answer) return answer.result as Value;
    }
    return undefined;
  }

  /** To all of them at once. Throws 'chain-unreachable' when none has said what became of it. */
  async sendRaw(raw: string): Promise<SendOutcome> {
    const targets = this.#endpoints.filter(({ state }) => state !== 'wrong-chain');
    const outcomes = targets.map(async (endpoint) => {
      const outcome = await this.#sendTo(endpoint, raw);
      if (outcome === 'accepted' || outcome === 'known') return outcome;
      throw new NotTaken(outcome);
    });
    try {
      // The slow ones go on by themselves: their answer can't make it any better.
      return await Promise.any(outcomes);
    } catch (error) {
      if (!(error instanceof AggregateError)) throw error;
      const said = error.errors.map((each: unknown) => (each instanceof NotTaken ? each.outcome : undefined));
      const worst = (['nonce-used', 'underpriced', 'insufficient-funds'] as const).find((each) => said.includes(each));
      if (worst !== undefined) return worst;
      throw this.#allFailed('eth_sendRawTransaction');
    }
  }

  /** Asks each endpoint that is due. Throws as `send` when none of them is of this chain. */
  async checkChainId(): Promise<void> {
    const due = this.#endpoints.filter((each) => this.#endpoints.length === 1 || this.#isDue(each));
    await Promise.all(due.map((each) => this.#admit(each)));
    if (this.#endpoints.some(({ state }) => state === 'up')) return;
    throw this.#allFailed('eth_chainId');
  }

  close(): void {
    this.#transport.close();
    this.provider.destroy();
  }

  async #read(method: string, params: readonly unknown[]): Promise<Answer> {
    const isLatest = method === 'eth_getBlockByNumber' && params[0] === 'latest';
    if (isLatest) this.#probe();
    let refusal: Answer | undefined;
    for (const endpoint of this.#candidates(isLatest)) {
      if (endpoint.state !== 'up' && !(await this.#admit(endpoint))) continue;
      const answer = await this.#post(endpoint, method, params);
      if (answer === undefined || (isLatest && !this.#isAhead(endpoint, answer))) continue;
      if ('error' in answer && !isVerdict(method, answer.error)) {
        // Another one may know the method, or the block, that this one does not.
        refusal ??= answer;
        continue;
      }
      if (this.#inUse !== undefined && this.#inUse !== endpoint) this.#changes += 1;
      this.#inUse = endpoint;
      return answer;
    }
    if (refusal !== undefined) return refusal;
    throw this.#allFailed(method);
  }

  /** In the order in which to ask them. When all have failed, all are asked: there is nobody to wait with. */
  #candidates(isLatest: boolean): Endpoint[] {
    const due = this.#endpoints.filter((each) => this.#isDue(each));
    if (!due.some(({ state }) => state === 'up')) {
      return this.#endpoints.filter((each) => each.state !== 'wrong-chain' || this.#isDue(each));
    }
    const inUse = this.#inUse;
    if (isLatest || inUse?.state !== 'up') return due;
    return [inUse, ...due.filter((each) => each !== inUse)];
  }

  #isDue({ state, retryAtMs }: Endpoint): boolean {
    return state === 'up' || this.#pace.nowMs() >= retryAtMs;
  }

  /** First use, and first use after a fault: what answers now may be another node, of another chain, or far behind. */
  async #admit(endpoint: Endpoint): Promise<boolean> {
    const said = await this.#post(endpoint, 'eth_chainId', []);
    if (said === undefined) return false;
    const got = 'result' in said ? Number(said.result) : Number.NaN;
    if (got !== this.#chainId) {
      const wasWrong = endpoint.state === 'wrong-chain';
      const message = `expected chain id ${this.#chainId}, got ${got}`;
      this.#setAside(endpoint, 'wrong-chain', message, wrongChainRetryMs);
      const fields = { endpoint: endpoint.name, expected: this.#chainId, got };
      if (!wasWrong) this.#log('error', 'chain-id-wrong', fields);
      return false;
    }
    if (this.#endpoints.length > 1) {
      const latest = await this.#post(endpoint, 'eth_getBlockByNumber', ['latest', false]);
      if (latest === undefined || !this.#isAhead(endpoint, latest)) return false;
    }
    if (endpoint.state !== 'up' && endpoint.state !== 'new') {
      this.#log('info', 'endpoint-up', { endpoint: endpoint.name });
    }
    endpoint.state = 'up';
    endpoint.error = null;
    return true;
  }

  /** Notes its head. False, and set aside, when that is lower than what another endpoint has shown. */
  #isAhead(endpoint: Endpoint, answer: Answer): boolean {
    const number = numberOf(answer);
    if (number === undefined) return true;
    const nowMs = this.#pace.nowMs();
    if (number !== endpoint.head) endpoint.headMs = nowMs;
    endpoint.head = number;
    const seen = this.#seen;
    if (seen !== undefined && seen.by !== endpoint && number < seen.number && nowMs - seen.atMs <= lagMsMax) {
      this.#setAside(endpoint, 'lagging', `head ${number}, ${seen.number} was shown by ${seen.by.name}`, retryMs);
      return false;
    }
    this.#seen = { number, by: endpoint, atMs: nowMs };
    return true;
  }

  /** Looks at those that are not in use, beside what is going on. When the one in use stands still, theirs counts. */
  #probe(): void {
    const nowMs = this.#pace.nowMs();
    if (this.#endpoints.length === 1 || nowMs - this.#probedMs < probeMs) return;
    this.#probedMs = nowMs;
    const inUse = this.#inUse;
    for (const endpoint of this.#endpoints.filter((each) => each !== inUse && this.#isDue(each))) {
      void this.#post(endpoint, 'eth_getBlockByNumber', ['latest', false]).then((answer) => {
        const number = answer === undefined ? undefined : numberOf(answer);
        if (number === undefined) return;
        endpoint.head = number;
        const hasStalled = inUse?.state === 'up' && nowMs - inUse.headMs >= stallMs && endpoint.state === 'up';
        if (hasStalled && number > (inUse.head ?? 0)) this.#seen = { number, by: endpoint, atMs: nowMs };
      });
    }
  }

  #setAside(endpoint: Endpoint, state: 'down' | 'lagging' | 'wrong-chain', error: string, waitMs: number): void {
    if (endpoint.state !== state && state !== 'wrong-chain') {
      const level = this.#endpoints.length === 1 ? 'debug' : 'warn';
      this.#log(level, `endpoint-${state}`, { endpoint: endpoint.name, error });
    }
    endpoint.state = state;
    endpoint.error = error;
    endpoint.retryAtMs = this.#pace.nowMs() + waitMs;
  }

  async #sendTo(endpoint: Endpoint, raw: string): Promise<SendOutcome | undefined> {
    const answer = await this.#post(endpoint, 'eth_sendRawTransaction', [raw]);
    if (answer === undefined) return undefined;
    if ('error' in answer) return outcomeOf(answer.error);
    if (answer.result === keccak256(raw)) return 'accepted';
    this.#setAside(endpoint, 'down', 'eth_sendRawTransaction: answered with the hash of something else', retryMs);
    return undefined;
  }

  /** One request. Undefined, and the endpoint set aside, when there was no answer to this very request. */
  async #post(endpoint: Endpoint, method: string, params: readonly unknown[]): Promise<Answer | undefined> {
    this.#id += 1;
    const id = this.#id;
    try {
      const body = JSON.stringify({ jsonrpc: '2.0', id, method, params });
      const { status, text } = await this.#transport.post(endpoint.target, body);
      if (status !== 200) throw new Error(`HTTP status ${status}`);
      return readAnswer(text, id);
    } catch (error) {
      if (endpoint.state !== 'wrong-chain')
        this.#setAside(endpoint, 'down', `${method}: ${describeError(error)}`, retryMs);
      return undefined;
    }
  }

  #allFailed(method: string): OperatingError {
    const said = this.#endpoints.map(({ name, error }) => `${name}: ${error ?? 'no answer'}`).join('; ');
    if (this.#endpoints.every(({ state }) => state === 'wrong-chain')) {
      return new OperatingError('chain-id-wrong', `chain ${said}`, { retry: 'never' });
    }
    return unreachable(`${method} failed at ${said}`);
  }
}

/** ethers' own transport would ask one endpoint, and hold a batch's answers against one another. */
class Door extends JsonRpcApiProvider {
  readonly #ask: (method: string, params: readonly unknown[]) => Promise<Answer>;

  constructor(chainId: number, ask: (method: string, params: readonly unknown[]) => Promise<Answer>) {
    const network = Network.from(chainId);
    super(network, { staticNetwork: network, cacheTimeout: -1, batchMaxCount: 1 });
    this.#ask = ask;
    this._start();
  }

  override async _send(payload: JsonRpcPayload | JsonRpcPayload[]): Promise<(JsonRpcResult | JsonRpcError)[]> {
    return Promise.all(
      [payload].flat().map(async ({ id, method, params }) => {
        const answer = await this.#ask(method, Array.isArray(params) ? params : []);
        return 'result' in answer ? { id, result: answer.result } : { id, error: answer.error };
      }),
    );
  }
}

class NotTaken extends Error {
  readonly outcome: SendOutcome | undefined;

  constructor(outcome: SendOutcome | undefined) {
    super(outcome ?? 'no answer');
    this.outcome = outcome;
  }
}

/** A node's answer that it does not answer. */
export class RpcRefusal extends Error {
  readonly code: number;

  constructor({ code, message }: RpcFailure) {
    super(message);
    this.code = code;
  }
}

function unreachable(message: string, cause?: unknown): OperatingError {
  return new OperatingError('chain-unreachable', message, {
    retry: 'later',
    ...(cause === undefined ? {} : { cause }),
  });
}

/** Nodes agree on these words only roughly; what matches none of them is retried as an unknown fault. */
function outcomeOf(error: RpcFailure): SendOutcome | undefined {
  const text = `${error.message} ${JSON.stringify(error.data ?? '')}`.toLowerCase();
  if (/already known|already imported|known transaction/.test(text)) return 'known';
  if (/nonce too low|nonce.*(already|expired)|nonce_expired/.test(text)) return 'nonce-used';
  if (/underpriced|max fee per gas less than block base fee|fee too low/.test(text)) return 'underpriced';
  if (/insufficient funds/.test(text)) return 'insufficient-funds';
  return undefined;
}

/**
 * A call that reverts was answered. Nodes agree only roughly on how that looks: code 3, the word, or the bytes of an
 * error. Other things in `data`, such as when to ask again, are a node's own trouble.
 */
function isVerdict(method: string, { code, message, data }: RpcFailure): boolean {
  if (method !== 'eth_call' && method !== 'eth_estimateGas') return false;
  return code === 3 || /revert|"0x[0-9a-f]{8}/i.test(`${message} ${JSON.stringify(data ?? '')}`);
}

/** Throws when the text is no JSON-RPC answer, or the answer to another question. */
function readAnswer(text: string, id: number): Answer {
  const read = JSON.parse(text) as { id?: unknown; result?: unknown; error?: Partial<RpcFailure> } | null;
  if (read?.id !== id) throw new Error(`expected the answer to request ${id}, got ${String(read?.id)}`);
  if (read.error === undefined) {
    if (read.result === undefined) throw new Error('an answer without result and error');
    return { result: read.result };
  }
  const { code = 0, message = 'no reason given', data } = read.error;
  return { error: { code, message, ...(data === undefined ? {} : { data }) } };
}

function numberOf(answer: Answer): number | undefined {
  if (!('result' in answer)) return undefined;
  const block = answer.result as { number?: unknown } | null;
  const number = Number(block?.number ?? Number.NaN);
  return Number.isSafeInteger(number) ? number : undefined;
}

function endpointOf(text: string, name: string): Endpoint {
  return { name, target: targetOf(text), state: 'new', head: null, headMs: 0, error: null, retryAtMs: 0 };
}

/** Never the whole URL: its user part, path or query may be what pays for the answers. */
function nameOf(rpcUrls: readonly string[], index: number): string {
  const origins = rpcUrls.map((each) => new URL(each).origin);
  const origin = origins[index]!;
  return origins.filter((each) => each === origin).length === 1 ? origin : `${origin}#${index + 1}`;
}
