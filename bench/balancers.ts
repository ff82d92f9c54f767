/** The balancers that stand side by side: weir, HAProxy, nginx. Each is started here, by its own template. */
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { childrenOf, commandOf, cpuMs, freePort, isAlive, pssBytes, rssBytes, userMs } from '../tests/support/system.ts';
import { DESCRIPTORS, type Endpoints, fill, Program, pinned, type Setting } from './programs.ts';

/** A balancer under measurement. */
export abstract class Balancer extends Program {
  port = 0;
  /** Processes that carry traffic. */
  abstract workers(): number[];
  /** Processes that do not, listed apart. */
  abstract others(): number[];

  cpuMs(): number {
    return this.workers().reduce((sum, pid) => sum + cpuMs(pid), 0);
  }
  userMs(): number {
    return this.workers().reduce((sum, pid) => sum + userMs(pid), 0);
  }
  otherCpuMs(): number {
    return this.others().reduce((sum, pid) => sum + cpuMs(pid), 0);
  }
  rss(): number {
    return this.workers().reduce((sum, pid) => sum + rssBytes(pid), 0);
  }
  pss(): number {
    return this.workers().reduce((sum, pid) => sum + pssBytes(pid), 0);
  }
}

class Haproxy extends Balancer {
  workers(): number[] {
    return [this.pid];
  }
  others(): number[] {
    return [];
  }
}

class Nginx extends Balancer {
  workers(): number[] {
    return childrenOf(this.pid);
  }
  others(): number[] {
    return [this.pid];
  }
}

class WeirBalancer extends Balancer {
  workers(): number[] {
    return childrenOf(this.pid).filter((pid) => isAlive(pid) && commandOf(pid).includes('worker/worker.ts'));
  }
  others(): number[] {
    return [this.pid];
  }
}

export type BalancerName = 'weir' | 'haproxy' | 'nginx';

/** Starts one balancer before the two endpoints and waits until it answers. */
export async function startBalancer(
  name: BalancerName,
  folder: string,
  endpoints: Endpoints,
  setting: Setting,
): Promise<Balancer> {
  const port = await freePort();
  const home = join(folder, `${name}-${port}`);
  mkdirSync(home);
  const [a, b] = endpoints.ports;
  let balancer: Balancer;
  if (name === 'haproxy') {
    const file = join(home, 'haproxy.cfg');
    // HAProxy writes no files: it logs to syslog or to its own output. Here its output is a file, so that all three append lines to one.
    writeFileSync(
      file,
      fill('haproxy.cfg', {
        LISTEN: port,
        A: a,
        B: b,
        LOG: setting.log ? '  log stdout format raw local0\n' : '',
        LOGDEFAULTS: setting.log ? '  log global\n  option httplog\n' : '',
      }),
    );
    balancer = new Haproxy(name, home, pinned(setting, 1, [setting.programs.haproxy, '-db', '-f', file]), {
      stdout: join(home, 'access.log'),
    });
  } else if (name === 'nginx') {
    const file = join(home, 'nginx.conf');
    // With a buffer, as a busy nginx is run; weir gathers its lines as well.
    const log = setting.log ? `${join(home, 'access.log')} combined buffer=64k flush=1s` : 'off';
    writeFileSync(file, fill('nginx-proxy.conf', { DIR: home, LISTEN: port, A: a, B: b, LOG: log, FILES: DESCRIPTORS }));
    balancer = new Nginx(name, home, pinned(setting, 1, [setting.programs.nginx, '-c', file, '-p', home]));
  } else {
    const file = join(home, 'weir.json');
    writeFileSync(
      file,
      JSON.stringify({
        version: 1,
        listeners: { web: { listen: `127.0.0.1:${port}`, to: 'pool', limits: { connectionsPerIp: 20_000 } } },
        pools: { pool: { endpoints: [`127.0.0.1:${a}`, `127.0.0.1:${b}`] } },
        ...(setting.log ? { logs: { access: { to: join(home, 'access.log'), format: 'json' } } } : {}),
      }),
    );
    const command = [setting.programs.weir, 'run', '-c', file, '--workers', '1', '--engine', setting.engine];
    balancer = new WeirBalancer(name, home, pinned(setting, 1, command), {
      environment: setting.nodeOptions === '' ? {} : { NODE_OPTIONS: setting.nodeOptions },
    });
  }
  balancer.port = port;
  await balancer.answers(port);
  return balancer;
}
