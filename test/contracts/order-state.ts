/** Names of IShipments' numbers. */
export const orderStates = [
  'None',
  'Placed',
  'Accepted',
  'InTransit',
  'Delivered',
  'Settled',
  'Cancelled',
  'Refunded',
  'Quarantined',
  'Held',
] as const;
export type OrderState = (typeof orderStates)[number];

export const causes = ['None', 'Excursion', 'CumulativeExcursion', 'Silence', 'Attested'] as const;
export type Cause = (typeof causes)[number];
