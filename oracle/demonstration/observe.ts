/**
 * What the demonstration looks at: the programs' own status pages and the chain. A page that is away keeps its last
 * word.
 */
import type { Order, Ticket } from './parties.ts';
import type { Stage } from './stage.ts';

/** The parts of the agent's GET /status that the story uses. */
export type AgentPage = {
  readonly devices: readonly {
    readonly name: string;
    readonly unsealed: number;
    readonly queued: number;
    readonly sealed: number;
    readonly receipts: number;
    readonly lastReadingAt?: string;
    readonly faults: Readonly<Record<string, string>>;
  }[];
};

/** The parts of the oracle's GET /api/v1/status that the story uses. */
export type OraclePage = {
  readonly log: { readonly size: number; readonly root: string };
  readonly batches: { readonly verified: number; readonly rejected: number; readonly receipts: number };
  readonly orders: readonly OracleOrder[];
  readonly findings: readonly Finding[];
};

export type OracleOrder = {
  readonly orderId: string;
  readonly state: string;
  readonly finality: string;
  readonly transactionHash: string | null;
  readonly gasUsed: number | null;
  readonly excursion: {
    /** Unix seconds. */
    readonly startedAt: number;
    readonly durationSec: number;
    readonly peakCentiC: number;
  } | null;
};

export type Finding = {
  readonly kind: string;
  readonly channel: string;
  /** Unix seconds. */
  readonly startedAt: number;
  readonly detail: string;
};

export type View = {
  readonly agent: AgentPage | undefined;
  readonly oracle: OraclePage | undefined;
  readonly order: Order;
  readonly replacement: Order | undefined;
  readonly ticket: Ticket | undefined;
};

export class Observer {
  readonly #stage: Stage;
  #agent: AgentPage | undefined;
  #oracle: OraclePage | undefined;

  constructor(stage: Stage) {
    this.#stage = stage;
  }

  async look(): Promise<View> {
    const { ports, parties, orderId } = this.#stage;
    const [agent, oracle] = await Promise.all([
      page<AgentPage>(`http://127.0.0.1:${ports.agentHttp}/status`),
      page<OraclePage>(`http://127.0.0.1:${ports.oracleHttp}/api/v1/status`),
    ]);
    this.#agent = agent ?? this.#agent;
    this.#oracle = oracle ?? this.#oracle;
    const order = await parties.order(orderId);
    const { replacementId, ticketId } = order;
    return {
      agent: this.#agent,
      oracle: this.#oracle,
      order,
      replacement: replacementId === 0n ? undefined : await parties.order(replacementId),
      ticket: ticketId === 0n ? undefined : await parties.ticket(ticketId),
    };
  }
}

/** Undefined while the program is starting, or has just been killed. */
async function page<Page>(url: string): Promise<Page | undefined> {
  try {
    const response = await fetch(url, { signal: AbortSignal.timeout(2_000) });
    return response.ok ? ((await response.json()) as Page) : undefined;
  } catch (error) {
    // What fetch throws when nobody listens, or nobody answers in time.
    if (error instanceof TypeError || (error instanceof DOMException && error.name === 'TimeoutError'))
      return undefined;
    throw error;
  }
}
