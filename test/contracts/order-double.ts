/** Orders in whatever state a test wants them: the double in Shipments' place. */
import type { Contract, JsonRpcSigner } from 'ethers';
import { addressOf, deploy, send, type Sent } from '../helpers/chain.ts';
import { causes, orderStates, type Cause, type OrderState } from './order-state.ts';

export const nobody = `0x${'00'.repeat(20)}`;
const zero = `0x${'00'.repeat(32)}`;

export type OrderView = {
  readonly state: OrderState;
  readonly cause: Cause;
  readonly agreementId: bigint;
  readonly buyer: string;
  readonly supplier: string;
  readonly carrier: string;
  readonly evidenceDigest: string;
};

export class OrderDouble {
  readonly contract: Contract;

  private constructor(contract: Contract) {
    this.contract = contract;
  }

  static async deploy(by: JsonRpcSigner): Promise<OrderDouble> {
    return new OrderDouble(await deploy(by, 'OrderDouble', [nobody]));
  }

  get address(): string {
    return addressOf(this.contract);
  }

  /** All that is not said is zero. */
  set(orderId: bigint, { state = 'Placed', cause = 'None', ...changes }: Partial<OrderView>): Promise<Sent> {
    const fields = this.contract.interface.getFunction('setOrder')!.inputs[1]!.components!;
    const zeros = { address: nobody, bytes32: zero, bool: false } as Record<string, unknown>;
    const empty = Object.fromEntries(fields.map(({ name, type }) => [name, zeros[type] ?? 0]));
    const numbers = { state: orderStates.indexOf(state), cause: causes.indexOf(cause) };
    return send(this.contract, 'setOrder', [orderId, { ...empty, ...changes, ...numbers }]);
  }
}
