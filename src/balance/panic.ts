/**
 * Panic: when so few endpoints are fit that sending everything to them would take them down as well, health is ignored and all are used. Workers and control ask the
 * same function of the same table, so what is announced is what happens.
 */
import { admin, type TableReader } from '../state/doors.ts';

/**
 * Is the share of ordinary endpoints that are ready below `threshold` (0..1; 0: never)? Endpoints in drain or maintenance were taken out on purpose and are neither
 * ready nor counted. `backup` is parallel to `slots`, 1 = backup. Never while a backup is ready and no ordinary endpoint is: the backups are there for that.
 */
export function isPanicking(slots: Int32Array, backup: Uint8Array, threshold: number, table: TableReader): boolean {
  if (threshold <= 0) return false;
  let counted = 0;
  let ready = 0;
  let hasBackup = false;
  for (let i = 0; i < slots.length; i++) {
    const slot = slots[i]!;
    if (table.admin(slot) !== admin.ready) continue;
    const isReady = table.isReady(slot);
    if (backup[i] !== 0) {
      if (isReady) hasBackup = true;
      continue;
    }
    counted++;
    if (isReady) ready++;
  }
  if (ready === 0 && hasBackup) return false;
  return ready < threshold * counted;
}
