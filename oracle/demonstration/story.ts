/** The story line by line: voyage time, who, what. Pure formatting over one `write`. */
import { faultValue } from '@coldproof/wire';

export class Story {
  readonly #write: (line: string) => void;
  readonly #voyageStartMs: number;

  constructor(write: (line: string) => void, voyageStartMs: number) {
    this.#write = write;
    this.#voyageStartMs = voyageStartMs;
  }

  /** `+02:17` is voyage time since departure. */
  tell(atMs: number, who: string, what: string): void {
    this.#write(`${formatElapsed(atMs - this.#voyageStartMs)}  ${who.padEnd(9)} ${what}`);
  }

  /** A line that belongs to the one above. */
  add(what: string): void {
    this.#write(`${' '.repeat(18)}${what}`);
  }
}

export function formatElapsed(elapsedMs: number): string {
  const minutes = Math.floor(Math.abs(elapsedMs) / 60_000);
  const sign = elapsedMs < 0 ? '-' : '+';
  return `${sign}${String(Math.floor(minutes / 60)).padStart(2, '0')}:${String(minutes % 60).padStart(2, '0')}`;
}

/** "8.42 °C", "-18.00 °C"; a sensor's fault value is no temperature. */
export function formatCentiC(centiC: number): string {
  return centiC === faultValue(0) ? 'no value' : `${(centiC / 100).toFixed(2)} °C`;
}

export function formatDuration(sec: number): string {
  const minutes = Math.floor(sec / 60);
  return minutes < 60 ? `${minutes} min` : `${Math.floor(minutes / 60)} h ${minutes % 60} min`;
}

export function formatCount(count: bigint | number): string {
  return count.toString().replaceAll(/\B(?=(\d{3})+$)/g, ',');
}

/** The token of the demonstration has six decimals. */
export function formatMoney(amount: bigint): string {
  const whole = formatCount(amount / 1_000_000n);
  const cents = amount % 1_000_000n;
  return cents === 0n ? whole : `${whole}.${cents.toString().padStart(6, '0')}`;
}

export function shortened(hex: string): string {
  const digits = hex.replace(/^0x/, '');
  return `${hex.startsWith('0x') ? '0x' : ''}${digits.slice(0, 8)}…`;
}
