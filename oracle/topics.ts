/** Topics that were parsed before: a device's messages all come on the same ones. */
import { parseTopic, type TopicKind } from '@coldproof/wire';

export type Topic = {
  readonly device: Uint8Array;
  /** The same in hex. */
  readonly name: string;
  readonly kind: TopicKind;
};

/** A few hundred bytes each. */
const topicsMax = 20_000;

export class Topics {
  readonly #known = new Map<string, Topic>();

  parse(text: string): Topic | undefined {
    const known = this.#known.get(text);
    if (known !== undefined) return known;
    const parsed = parseTopic(text);
    if (parsed === undefined) return undefined;
    if (this.#known.size >= topicsMax) this.#known.clear();
    const topic = { ...parsed, name: text.split('/')[2]! };
    this.#known.set(text, topic);
    return topic;
  }
}
