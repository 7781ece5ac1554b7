/** The part of Node-RED's runtime API that these nodes use (nodered.org/docs/creating-nodes); it ships no types. */
export type Message = { topic?: unknown; payload?: unknown; [property: string]: unknown };

export type NodeStatus = {
  readonly fill: 'green' | 'yellow' | 'red' | 'grey';
  readonly shape: 'dot' | 'ring';
  readonly text: string;
};

type Send = (message: Message | (Message | null)[]) => void;
/** With words for a person: an Error would come out as "Error: ...". */
type Done = (problem?: string) => void;

export type Node = {
  readonly id: string;
  on(event: 'input', listener: (message: Message, send: Send, done: Done) => void): void;
  on(event: 'close', listener: (done: () => void) => void): void;
  send: Send;
  status(status: NodeStatus): void;
  error(message: string): void;
  warn(message: string): void;
};

export type NodeConfig = { readonly id: string; readonly type: string; readonly name?: string };

type Request = { readonly params: { readonly [name: string]: string } };
type Response = { status(code: number): Response; json(body: unknown): void };
type Handler = (request: Request, response: Response, next: () => void) => void;

export type Runtime = {
  readonly nodes: {
    createNode(node: Node, config: NodeConfig): void;
    /** Node-RED makes each node with the type's own constructor: `this` and the configuration are of that type. */
    registerType(
      type: string,
      constructor: (this: never, config: never) => void,
      options?: { readonly credentials: { readonly [field: string]: { readonly type: 'text' | 'password' } } },
    ): void;
    getNode(id: string): unknown;
  };
  readonly httpAdmin: { get(path: string, ...handlers: Handler[]): void };
  readonly auth: { needsPermission(permission: string): Handler };
};
