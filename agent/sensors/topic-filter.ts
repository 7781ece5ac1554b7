/** MQTT topic filters (MQTT 3.1.1 §4.7): `+` stands for one level, a last `#` for the level above and all below. */

/** 1 to 256 characters, wildcards as whole levels only (§4.7.1), not under `$`, the broker's (§4.7.2), or `agent/`. */
export const topicFilterPattern = /^(?!\$|agent\/)(?=[^\0]{1,256}$)(#|(\+|[^+#/]*)(\/(\+|[^+#/]*))*(\/#)?)$/;

export function hasWildcard(filter: string): boolean {
  return /[+#]/.test(filter);
}

/** Whether every topic of `other`, itself a filter or a plain topic, is one of `filter`. */
export function coversTopic(filter: string, other: string): boolean {
  const levels = filter.split('/');
  const others = other.split('/');
  for (const [i, level] of levels.entries()) {
    // "sport/#" is also "sport" (§4.7.1.2).
    if (level === '#') return true;
    const same = others[i];
    if (same === undefined || same === '#') return false;
    if (level !== '+' && level !== same) return false;
  }
  return levels.length === others.length;
}

/** Whether some topic belongs to both. */
export function topicsOverlap(one: string, another: string): boolean {
  const [levels, others] = [one.split('/'), another.split('/')];
  for (let i = 0; ; i++) {
    const [level, other] = [levels[i], others[i]];
    if (level === '#' || other === '#') return true;
    if (level === undefined || other === undefined) return level === other;
    if (level !== '+' && other !== '+' && level !== other) return false;
  }
}
