/**
 * Subjects whose rows this process has written since they were last taken, so that announcing costs what has changed
 * and not what there is. One that was rolled back is in it, too: it is looked at for nothing.
 */
export class Changed {
  readonly #subjects = new Set<string>();
  /** Other processes write, too, or many rows were written at once: nothing is left out only if all are looked at. */
  #isAll = false;
  readonly #isShared: boolean;

  constructor(isShared: boolean) {
    this.#isShared = isShared;
  }

  add(subject: string): void {
    if (!this.#isShared) this.#subjects.add(subject);
  }

  addAll(): void {
    this.#isAll = true;
  }

  /** Undefined when it can be any. */
  take(): readonly string[] | undefined {
    const subjects = this.#isAll || this.#isShared ? undefined : [...this.#subjects];
    this.#subjects.clear();
    this.#isAll = false;
    return subjects;
  }
}
