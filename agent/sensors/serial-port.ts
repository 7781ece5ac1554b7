/** The only door to serialport: a port of a configured line, not yet open, and what all lines need of it. */
import { SerialPort } from 'serialport';
import type { PortConfig } from '../config-line.ts';
import { describeError, OperatingError } from '../operating-error.ts';

/** Of serialport's own port, what is used here: a test can put another in its place. */
export type RawPort = Pick<SerialPort, 'isOpen' | 'open' | 'close' | 'flush'> & {
  pause(): unknown;
  resume(): unknown;
  write(bytes: Uint8Array): unknown;
  on(event: 'data', listener: (chunk: Buffer) => void): unknown;
  on(event: 'error', listener: (error: Error) => void): unknown;
  on(event: 'close', listener: () => void): unknown;
};

const watchMs = 1_000;

export function makePort({ path, baud, parity, stopBits }: PortConfig): RawPort {
  const port = new SerialPort({ path, baudRate: baud, parity, stopBits, dataBits: 8, autoOpen: false });
  watch(port);
  return port;
}

/**
 * Closes a port whose device is gone. The kernel answers a read of a hung-up terminal with 0 bytes, and serialport asks
 * again, for ever and without a word, when the plug was pulled between two of its reads. tcdrain tells: on a hung-up
 * terminal it fails (EIO), on a live one that nothing is written to it returns at once.
 */
function watch(port: SerialPort): void {
  let timer: NodeJS.Timeout | undefined;
  let isAsked = false;
  const ask = () => {
    if (isAsked) return;
    isAsked = true;
    port.drain((error) => {
      isAsked = false;
      if (error && port.isOpen) port.close();
    });
  };
  port.on('open', () => {
    timer = setInterval(ask, watchMs);
  });
  port.on('close', () => {
    clearInterval(timer);
  });
}

/** Throws `line-failed`. What the kernel holds from before is discarded: nobody knows when it was said. */
export async function openPort(port: RawPort, line: PortConfig): Promise<void> {
  await new Promise<void>((resolve, reject) => {
    port.open((error) => {
      if (error) reject(lineError(line, error));
      else resolve();
    });
  });
  await new Promise<void>((resolve) => {
    port.flush(() => resolve());
  });
}

/** Also for a port that has closed by itself. */
export async function closePort(port: RawPort): Promise<void> {
  if (!port.isOpen) return;
  await new Promise<void>((resolve) => {
    port.close(() => resolve());
  });
}

/** Milliseconds to wait before try number `failures + 1`: a line that is back is found within 5 s. */
export function reopenMs(failures: number): number {
  return Math.min(2_000, 100 * 2 ** Math.min(failures, 8));
}

export function lineError({ name, path }: PortConfig, why: unknown): OperatingError {
  const words = typeof why === 'string' ? why : describeError(why);
  return new OperatingError('line-failed', `line ${name} at ${path}: ${words}`, { retry: 'later', cause: why });
}
