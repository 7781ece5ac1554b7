/** The lengths of MQTT's packets as they come in, before anything is kept of them. */
import { envelopeBytesMax } from '@coldproof/wire';

/** An envelope, its topic, and MQTT's own header. */
const packetBytesMax = envelopeBytesMax + 1_024;

/** Follows MQTT's fixed headers (3.1.1 §2.2): a byte of type, then the length in up to four bytes of 7 bits each. */
export class Framing {
  #state: 'type' | 'length' | 'body' = 'type';
  #left = 0;
  #shift = 0;

  admit(chunk: Uint8Array): boolean {
    let at = 0;
    while (at < chunk.length) {
      if (this.#state === 'body') {
        const taken = Math.min(this.#left, chunk.length - at);
        at += taken;
        this.#left -= taken;
        if (this.#left === 0) this.#state = 'type';
      } else if (this.#state === 'type') {
        at += 1;
        this.#left = 0;
        this.#shift = 0;
        this.#state = 'length';
      } else if (!this.#lengthByte(chunk[at++]!)) {
        return false;
      }
    }
    return true;
  }

  #lengthByte(byte: number): boolean {
    this.#left += (byte & 0x7f) << this.#shift;
    this.#shift += 7;
    if (this.#left > packetBytesMax || this.#shift > 28) return false;
    if (byte < 0x80) this.#state = this.#left === 0 ? 'type' : 'body';
    return true;
  }
}
