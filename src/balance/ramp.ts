/** Ramp: the share of its weight that an endpoint in slow start counts for. */
import type { TableReader } from '../state/doors.ts';

/** A ramp never starts lower: with less, an endpoint in a quiet pool would not be warmed at all. Envoy's default. */
const RAMP_MIN = 0.1;
/** Relative ramps are counted in so many parts, and derived anew when a ramp has moved by one: about a hundred times in a slow start. */
export const RAMP_PARTS = 100;

/** RAMP_MIN to 1: time since the endpoint became ready, as a share of `slowStartMs` (0: no slow start). One that never was ready has not begun. */
export function rampOf(slot: number, slowStartMs: number, table: TableReader): number {
  if (slowStartMs <= 0) return 1;
  const since = table.readySince(slot);
  if (since === 0) return RAMP_MIN;
  return Math.min(1, Math.max(RAMP_MIN, (table.nowMs() - since) / slowStartMs));
}
