/**
 * An independent reader of the chain: only the RPC URL, addresses and ABIs that the status names; no code of the
 * oracle.
 */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import t from 'tap';
import { Contract, JsonRpcProvider } from 'ethers';
import type { Status } from '@coldproof/oracle/demonstration/status';
import { mainFile, testSpeed } from '../helpers/voyage.ts';

type Order = {
  state: bigint;
  buyer: string;
  supplier: string;
  replacementOf: bigint;
  ticketId: bigint;
  agreementId: bigint;
};
const [placed, cancelled] = [1n, 6n];

t.test(
  'order, replacement, ticket and every unit of money are on the chain as the status says; Ctrl-C ends all',
  async (t) => {
    const child = spawn(process.execPath, [mainFile, '--port', '0', '--speed', String(testSpeed)]);
    let story = '';
    child.stdout.setEncoding('utf8').on('data', (text: string) => (story += text));
    child.stderr.setEncoding('utf8').on('data', (text: string) => (story += text));
    const closed = once(child, 'close');
    t.teardown(() => child.kill('SIGKILL'));
    const status = await ended(
      () => /status\s+(http:\S+)/.exec(story)?.[1],
      closed,
      () => story,
    );
    t.match(status, { orderState: 'Cancelled', replacementState: 'Placed', endedAsExpected: true }, story);

    const provider = new JsonRpcProvider(status.rpcUrl, undefined, { cacheTimeout: -1 });
    t.teardown(() => provider.destroy());
    const at = (name: string): Contract => new Contract(status.contracts[name]!, abiOf(name), provider);
    const call = async <Value>(contract: Contract, method: string, ...args: unknown[]): Promise<Value> =>
      (await contract.getFunction(method)(...args)) as Value;
    const [shipments, agreements] = [at('Shipments'), at('Agreements')];
    const [fleet, token] = [at('Fleet'), at('TestToken')];
    const order = await call<Order>(shipments, 'order', status.orderId);
    const replacement = await call<Order>(shipments, 'order', status.replacementOrderId);
    t.equal(order.state, cancelled);
    t.equal(replacement.state, placed);
    t.equal(String(replacement.replacementOf), status.orderId);
    t.equal(replacement.buyer, order.buyer);
    t.not(replacement.supplier, order.supplier, 'the next supplier');
    const ticket = await call<{ orderId: bigint; closedAt: bigint }>(fleet, 'ticketOf', status.repairTicketId);
    t.same([String(ticket.orderId), ticket.closedAt], [status.orderId, 0n], 'one open ticket, for this order');
    t.equal(await call<bigint>(shipments, 'orderCount'), 2n, 'one replacement and no more');
    t.equal(await call<bigint>(fleet, 'ticketCount'), 1n);

    const held = await call<bigint>(token, 'balanceOf', status.contracts['Shipments']);
    const { price } = await call<{ price: bigint }>(agreements, 'termsOf', replacement.agreementId);
    t.equal(held, price, 'the escrow stands behind the replacement, to the last unit');
    t.equal(await call<bigint>(token, 'totalSupply'), held, 'nobody was paid, nothing was lost');
    const receipt = await provider.getTransactionReceipt(status.transactionHash!);
    t.equal(Number(receipt?.gasUsed), status.gasUsed);

    child.kill('SIGINT');
    const [code] = (await closed) as [number | null];
    t.equal(code, 0);
    await t.rejects(fetch(status.rpcUrl), 'the chain has ended, too');
  },
);

/** Asks the door until the story has ended. */
async function ended(url: () => string | undefined, closed: Promise<unknown>, story: () => string): Promise<Status> {
  const child = { isClosed: false };
  void closed.then(() => (child.isClosed = true));
  for (;;) {
    await new Promise((resolve) => setTimeout(resolve, 200));
    if (child.isClosed) throw new Error(`ended before the story did:\n${story()}`);
    const door = url();
    if (door === undefined) continue;
    const status = (await (await fetch(door)).json()) as Status;
    if (status.endedAsExpected !== null) return status;
  }
}

function abiOf(name: string): string {
  const file = new URL(`../../../contracts/artifacts/${name}.json`, import.meta.url);
  return JSON.stringify((JSON.parse(readFileSync(file, 'utf8')) as { abi: unknown }).abi);
}
