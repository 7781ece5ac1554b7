/** What the agent asks about its clock. */
import { name, oneOf, optional, record, type Field } from './config-field.ts';

export type ClockConfig =
  /** Nothing: the clock is trusted unless it is unset, or behind the readings. */
  | { readonly source: 'none' }
  /** Whether the system's clock is synchronised, by the kernel's own word or chrony's. */
  | { readonly source: 'system' }
  /** The time is that of a satellite receiver on this line. */
  | { readonly source: 'gps'; readonly line: string };

export const clockDefaults: ClockConfig = { source: 'none' };

export const clock: Field<ClockConfig> = optional(
  record({ source: oneOf('system', 'gps', 'none'), line: optional(name) }, ({ source, line }, place) => {
    if (source === null || line === null) return null;
    if (source !== 'gps') {
      return line === undefined ? { source } : place.key('line').problem(line, `nothing: ${source} has no line`);
    }
    return line === undefined ? place.key('line').problem(line, 'the name of an nmea line') : { source, line };
  }),
  clockDefaults,
);
