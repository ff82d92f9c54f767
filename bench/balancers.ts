/** The balancers that stand side by side: weir, HAProxy, nginx. Each is started here, by its own template. */
import { existsSync, mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { childrenOf, commandOf, cpuMs, freePort, isAlive, pssBytes, rssBytes, userMs } from '../tests/support/system.ts';
import { DESCRIPTORS, type Endpoints, fill, Program, pinned, type Setting } from './programs.ts';

/** Where Debian keeps nginx's stream module; where it is compiled in, nothing is loaded. */
export const STREAM_MODULE = '/usr/lib/nginx/modules/ngx_stream_module.so';

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

export class Nginx extends Balancer {
  workers(): number[] {
    return childrenOf(this.pid);
  }
  others(): number[] {
    return [this.pid];
  }
}

export class WeirBalancer extends Balancer {
  workers(): number[] {
    return childrenOf(this.pid).filter((pid) => isAlive(pid) && commandOf(pid).includes('worker/worker.ts'));
  }
  others(): number[] {
    return [this.pid];
  }
}

export type BalancerName = 'weir' | 'haproxy' | 'haproxy-splice' | 'nginx';

/** What each program is told, by layer. */
function writeHaproxy(home: string, name: BalancerName, port: number, { ports: [a, b] }: Endpoints, setting: Setting): string {
  const file = join(home, 'haproxy.cfg');
  const places = { LISTEN: port, A: a, B: b };
  if (setting.layer === 'tcp') {
    // splice-auto leaves it to HAProxy whether a stream is worth a pipe; the other options take the choice away.
    const options = name === 'haproxy-splice' ? ['splice-request', 'splice-response'] : ['splice-auto'];
    const lines = options.map((option) => `  option ${option}\n`).join('');
    writeFileSync(file, fill('haproxy-tcp.cfg', { ...places, SPLICE: lines }));
    return file;
  }
  // HAProxy writes no files: it logs to syslog or to its own output. Here its output is a file, so that all three append lines to one.
  const log = setting.log ? '  log stdout format raw local0\n' : '';
  const defaults = setting.log ? '  log global\n  option httplog\n' : '';
  writeFileSync(
    file,
    fill('haproxy.cfg', {
      ...places,
      LOG: log,
      LOGDEFAULTS: defaults,
      TLS: setting.tls === null ? '' : ` ssl crt ${setting.tls.both}`,
    }),
  );
  return file;
}

function writeNginx(home: string, port: number, { ports: [a, b] }: Endpoints, setting: Setting): string {
  const file = join(home, 'nginx.conf');
  const places = { DIR: home, LISTEN: port, A: a, B: b, FILES: DESCRIPTORS };
  if (setting.layer === 'tcp') {
    const module = existsSync(STREAM_MODULE) ? `load_module ${STREAM_MODULE};\n` : '';
    writeFileSync(file, fill('nginx-stream.conf', { ...places, MODULE: module }));
    return file;
  }
  // With a buffer, as a busy nginx is run; weir gathers its lines as well.
  const log = setting.log ? `${join(home, 'access.log')} combined buffer=64k flush=1s` : 'off';
  writeFileSync(
    file,
    fill('nginx-proxy.conf', {
      ...places,
      LOG: log,
      TLS: setting.tls === null ? '' : ' ssl',
      CERTIFICATE:
        setting.tls === null
          ? ''
          : `ssl_certificate ${setting.tls.certificate}; ssl_certificate_key ${setting.tls.key}; ssl_protocols TLSv1.2 TLSv1.3;`,
    }),
  );
  return file;
}

function writeWeir(home: string, port: number, { ports }: Endpoints, setting: Setting): string {
  const file = join(home, 'weir.json');
  const protocol = setting.layer;
  const plan = {
    version: 1,
    listeners: {
      web: {
        listen: `127.0.0.1:${port}`,
        protocol,
        to: 'pool',
        limits: { connectionsPerIp: 20_000 },
        ...(setting.tls === null ? {} : { tls: { certificates: ['bench'] } }),
      },
    },
    ...(setting.tls === null
      ? {}
      : { certificates: { bench: { files: { certificate: setting.tls.certificate, key: setting.tls.key } } } }),
    pools: { pool: { protocol, endpoints: ports.map((endpoint) => `127.0.0.1:${endpoint}`) } },
    ...(setting.log ? { logs: { access: { to: join(home, 'access.log'), format: 'json' } } } : {}),
  };
  writeFileSync(file, JSON.stringify(plan));
  return file;
}

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
  const { programs } = setting;
  let balancer: Balancer;
  if (name === 'weir') {
    const file = writeWeir(home, port, endpoints, setting);
    const command = [programs.weir, 'run', '-c', file, '--workers', '1', '--engine', setting.engine];
    balancer = new WeirBalancer(name, home, pinned(setting, 1, command), {
      environment: setting.nodeOptions === '' ? {} : { NODE_OPTIONS: setting.nodeOptions },
    });
  } else if (name === 'nginx') {
    const file = writeNginx(home, port, endpoints, setting);
    balancer = new Nginx(name, home, pinned(setting, 1, [programs.nginx, '-c', file, '-p', home]));
  } else {
    const file = writeHaproxy(home, name, port, endpoints, setting);
    balancer = new Haproxy(name, home, pinned(setting, 1, [programs.haproxy, '-db', '-f', file]), {
      stdout: join(home, 'access.log'),
    });
  }
  balancer.port = port;
  await balancer.answers(port, setting.tls !== null);
  return balancer;
}
