/** What one run of a cryptlet may use. The limits decide verdicts, so they are part of the runtime's identity. */

export type CryptletLimits = {
  /** Steps of the interpreter: see metering.ts. Some two seconds of a core. */
  readonly steps: number;
  /** Heap of the program, its input included: a month of four channels at a sample a minute is 45 MB. */
  readonly memoryBytes: number;
  /** Far less than the thread has, so that it is QuickJS that finds the end of it and never the machine. */
  readonly stackBytes: number;
  /** Output as JSON. An on-chain payload of sixteen words is 512 bytes. */
  readonly outputBytes: number;
  /** Input as JSON. */
  readonly inputBytes: number;
};

export const cryptletLimits: CryptletLimits = {
  steps: 400_000_000,
  memoryBytes: 64 * 1024 * 1024,
  stackBytes: 256 * 1024,
  outputBytes: 4_096,
  inputBytes: 8 * 1024 * 1024,
};

/** Names and interfaces stand in contracts and on pages; programs are read by the parties who sign their digests. */
export const programBytesMax = 32_768;
export const packageBytesMax = 65_536;
export const channelsMax = 32;
export const parametersMax = 16;
export const fieldsMax = 16;
