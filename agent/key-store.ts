/**
 * Where a device's P-256 key lives. A key store signs and never exports. Its adapters: key-file.ts, and key-pkcs11.ts
 * for secure elements, TPMs and smart cards.
 */
export type KeyStore = {
  /** x ‖ y, 64 bytes. Known also while the key itself is out of reach. */
  publicKey(): Uint8Array;
  /** deviceOf(publicKey()), 32 bytes. */
  device(): Uint8Array;
  /**
   * ES256 over `preimage` (hashed here): r ‖ s, low s. The same preimage may get other signature bytes each time.
   * Throws `key-away` (retry later) while the key cannot be reached, `key-pin-wrong` (never) when a person is needed.
   */
  sign(preimage: Uint8Array): Promise<Uint8Array>;
};
