/** solc's syntax tree in JSON, as far as it is looked at. */
export type Node = { readonly nodeType: string; readonly src: string; readonly [field: string]: unknown };

export type Span = { readonly start: number; readonly end: number };

/** In bytes of the UTF-8 source. */
export function spanOf({ src }: Node): Span {
  const [start, length] = src.split(':').map(Number);
  return { start: start!, end: start! + length! };
}

export function isNode(value: unknown): value is Node {
  return typeof value === 'object' && value !== null && 'nodeType' in value && 'src' in value;
}

/** The node in this field; throws when there is none. */
export function nodeAt(node: Node, field: string): Node {
  const value = node[field];
  if (!isNode(value)) throw new TypeError(`${node.nodeType} at ${node.src} has no ${field}`);
  return value;
}

export function nodesAt(node: Node, field: string): Node[] {
  const value = node[field];
  return Array.isArray(value) ? value.filter(isNode) : [];
}

export function childrenOf(node: Node): Node[] {
  return Object.values(node).flatMap((value) => {
    const values: unknown[] = Array.isArray(value) ? value : [value];
    return values.filter(isNode);
  });
}
