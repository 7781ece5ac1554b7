/** A serial line that may come and go: the only door to serialport here. */
import { SerialPort } from 'serialport';
import { OperatingError } from './operating-error.ts';

const watchMs = 1_000;

export type Line = {
  /** One listener at a time. */
  onBytes(listener: (bytes: Uint8Array) => void): void;
  /** Fire and forget, as on a real line; a failed write closes it. */
  write(bytes: Uint8Array): void;
  /** Resolves, never rejects, when the line is closed or gone. */
  readonly closed: Promise<void>;
  close(): void;
};

/** Rejects with OperatingError 'line-unavailable'. 8 data bits, no parity, 1 stop bit, as most Modbus units are set. */
export async function openLine(path: string, baud: number): Promise<Line> {
  const port = new SerialPort({ path, baudRate: baud, autoOpen: false });
  const closed = new Promise<void>((resolve) => port.once('close', () => resolve()));
  await new Promise<void>((resolve, reject) => {
    port.open((error) => {
      if (error === null) resolve();
      else reject(lineError(path, error));
    });
  });
  const close = () => {
    if (port.isOpen) port.close();
  };
  // A line in error is of no use: close it, and let the caller open it again.
  port.on('error', close);
  // serialport reads a terminal that was hung up between two of its reads for ever; tcdrain fails on it. A device that
  // writes finds out by that, one that waits to be asked would not.
  const watch = setInterval(() => {
    port.drain((error) => {
      if (error) close();
    });
  }, watchMs);
  port.once('close', () => clearInterval(watch));
  return {
    onBytes: (listener) => {
      port.removeAllListeners('data');
      port.on('data', (chunk: Buffer) => listener(chunk));
    },
    write: (bytes) => void port.write(Buffer.from(bytes)),
    closed,
    close,
  };
}

function lineError(path: string, cause: Error): OperatingError {
  return new OperatingError('line-unavailable', `line ${path}: ${cause.message}`, { retry: 'later', cause });
}
