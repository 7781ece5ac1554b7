/** What is kept of a compiled contract. */
export type Artifact = {
  /** Contract ABI in JSON, as ethers and others take it. */
  readonly abi: readonly AbiEntry[];
  /** Creation code, 0x and hex. */
  readonly bytecode: string;
  /** Size of the code on chain. */
  readonly deployedBytes: number;
  /** The code on chain, 0x and hex; its immutables, by start and length in bytes, are zeros in it. */
  readonly deployedCode: string;
  readonly immutables: readonly (readonly [start: number, length: number])[];
};

export type AbiEntry = { readonly type: string; readonly name?: string };
