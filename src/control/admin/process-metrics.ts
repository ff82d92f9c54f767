/**
 * Metrics of weir's own processes: workers, configuration, build, and the standard process_* ones, which are sums over the control process and its
 * workers, for that is what one instance costs.
 */
import { readFileSync } from 'node:fs';
import { release } from 'node:os';
import type { ControlState } from './control-state.ts';
import type { Families } from './families.ts';
import { countDescriptors, descriptorsMax } from './headroom.ts';

/** USER_HZ: the unit of times in /proc/PID/stat, 100 on every architecture Node runs on. */
const TICKS_PER_SECOND = 100;
/** VmRSS is told in these. */
const KIB = 1024;
/** Endpoints with a series of their local ports: the fullest. */
const PORT_SERIES_MAX = 256;

export class ProcessMetrics {
  /** CPU seconds of processes by pid, as last seen, and of those that are gone: a counter may not fall when a worker ends. */
  private readonly cpu = new Map<number, number>();
  private cpuOfGone = 0;

  add(families: Families, state: ControlState): void {
    this.workers(families, state);
    this.config(families, state);
    this.build(families, state);
    this.processes(families, state);
    this.headroom(families, state);
  }

  private workers(families: Families, state: ControlState): void {
    const { tally } = state;
    const up = families.gauge('weir_worker_up', '1 when a worker serves.');
    const restarts = families.counter('weir_worker_restarts_total', 'Workers that died and were started again.');
    const busy = families.gauge('weir_worker_busy_ratio', 'Share of time a worker was at work.');
    const heap = families.gauge('weir_heap_used_bytes', "Heap in use by a worker's JavaScript.");
    const buffers = families.gauge('weir_buffers_free', 'Free buffers of a worker.');
    const enters = families.counter('weir_uring_enters_total', 'System calls by which a worker submitted and waited.');
    const completions = families.counter('weir_uring_completions_total', 'Completions a worker reaped.');
    const overflows = families.counter('weir_uring_overflows_total', 'Times the completion queue of a worker was full.');
    for (const { slot, stripe, state: its, restarts: count } of state.workers()) {
      const labels = { worker: String(slot) };
      const row = stripe < 0 ? null : tally.stripe(stripe);
      up(labels, its === 'serving' ? 1 : 0);
      restarts(labels, count);
      busy(labels, row?.busyRatio ?? 0);
      heap(labels, row?.heapUsedBytes ?? 0);
      buffers(labels, row?.blocksFree ?? 0);
      enters(labels, row?.enters ?? 0);
      completions(labels, row?.completions ?? 0);
      overflows(labels, row?.overflows ?? 0);
    }
    families.counter('weir_log_lines_dropped_total', 'Log lines that found their sink full.')(
      { sink: 'access' },
      tally.logLinesDropped(),
    );
    families.counter(
      'weir_datagrams_dropped_total',
      'Datagrams that found no room: neither the sender nor the receiver hears of it.',
    )({}, tally.datagramsDropped());
    families.counter('weir_limit_keys_evicted_total', 'Keys of rate limits forgotten while in use, because the table was full.')(
      {},
      tally.limitsForgotten(),
    );
  }

  private config(families: Families, state: ControlState): void {
    const { succeeded, failed, isLastOk, lastOkAt } = state.reloads();
    families.gauge('weir_config_epoch', 'Number of the configuration in force.')({}, state.tally.epoch());
    families.gauge('weir_config_last_reload_successful', '1 when the last reload succeeded.')({}, isLastOk ? 1 : 0);
    families.gauge('weir_config_last_reload_success_timestamp_seconds', 'When the last successful reload was.')(
      {},
      lastOkAt / 1000,
    );
    const reloads = families.counter('weir_config_reloads_total', 'Reloads by result.');
    reloads({ result: 'success' }, succeeded);
    reloads({ result: 'failure' }, failed);
  }

  private build(families: Families, state: ControlState): void {
    const engine = state.workers().find((worker) => worker.engine !== null)?.engine ?? 'none';
    const labels = { version: state.version, node: process.versions.node, engine, kernel: release() };
    families.gauge('weir_build_info', 'What runs here; always 1.')(labels, 1);
  }

  private processes(families: Families, state: ControlState): void {
    const pids = new Set([process.pid]);
    for (const { pid } of state.workers()) if (pid > 0) pids.add(pid);
    for (const [pid, seconds] of this.cpu) {
      if (pids.has(pid)) continue;
      this.cpuOfGone += seconds;
      this.cpu.delete(pid);
    }
    let rss = 0;
    let fds = 0;
    for (const pid of pids) {
      const seen = lookAt(pid);
      if (seen === null) continue;
      this.cpu.set(pid, Math.max(seen.cpuSeconds, this.cpu.get(pid) ?? 0));
      rss += seen.rssBytes;
      fds += seen.fds;
    }
    let cpu = this.cpuOfGone;
    for (const seconds of this.cpu.values()) cpu += seconds;
    families.counter('process_cpu_seconds_total', 'CPU time of the control process and its workers, in seconds.')({}, cpu);
    families.gauge('process_resident_memory_bytes', 'Memory of the control process and its workers; shared pages count in each.')(
      {},
      rss,
    );
    families.gauge('process_open_fds', 'Open descriptors of the control process and its workers.')({}, fds);
    families.gauge('process_max_fds', 'Limit of descriptors of one process.')({}, descriptorsMax(process.pid));
    families.gauge('process_start_time_seconds', 'When weir was started.')({}, state.startedAt / 1000);
  }

  private headroom(families: Families, { headroom }: ControlState): void {
    families.gauge('weir_fds_used_ratio', 'Descriptors in use, of the process that has the fewest left.')(
      {},
      headroom.descriptorsRatio,
    );
    families.gauge('weir_clients_used_ratio', 'Client connections, of those all workers take.')({}, headroom.clientsRatio);
    families.gauge('weir_udp_sessions_used_ratio', 'Clients of datagrams, of those all workers remember.')(
      {},
      headroom.sessionsRatio,
    );
    const ports = families.gauge('weir_source_ports_used_ratio', 'Local ports in use, of those there are for an endpoint.');
    for (const { pool, endpoint, used, of } of headroom.ports.slice(0, PORT_SERIES_MAX)) ports({ pool, endpoint }, used / of);
  }
}

/** null: it is gone. */
function lookAt(pid: number): { cpuSeconds: number; rssBytes: number; fds: number } | null {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, 'latin1');
    // Fields 14 and 15; the name in parentheses may hold anything, what follows it begins with field 3.
    const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
    const status = readFileSync(`/proc/${pid}/status`, 'latin1');
    return {
      cpuSeconds: (Number(fields[11]) + Number(fields[12])) / TICKS_PER_SECOND,
      rssBytes: Number(/^VmRSS:\s+(\d+) kB/m.exec(status)?.[1] ?? 0) * KIB,
      fds: countDescriptors(pid),
    };
  } catch {
    return null;
  }
}
