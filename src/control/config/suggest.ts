/** "Did you mean": the nearest word, and the words of other load balancers. */

/** Words of HAProxy, nginx, Envoy, Caddy and Traefik for the things of a config. Used only where the target is a known word. */
export const foreignKeys: Readonly<Record<string, readonly string[]>> = Object.freeze({
  servers: ['endpoints'],
  server: ['endpoints'],
  upstreams: ['endpoints', 'pools'],
  upstream: ['endpoints', 'pools'],
  targets: ['endpoints'],
  members: ['endpoints'],
  hosts: ['host', 'endpoints'],
  backend: ['to', 'pools'],
  backends: ['endpoints', 'pools'],
  clusters: ['pools'],
  cluster: ['to', 'pools'],
  services: ['pools'],
  pool: ['to', 'pools'],
  frontends: ['listeners'],
  frontend: ['listeners'],
  entrypoints: ['listeners'],
  entryPoints: ['listeners'],
  entry_points: ['listeners'],
  bind: ['listen'],
  port: ['listen'],
  address: ['listen'],
  addresses: ['listen', 'endpoints'],
  proxy_pass: ['to'],
  reverse_proxy: ['to'],
  default_backend: ['to'],
  use_backend: ['to'],
  forward: ['to'],
  service: ['to'],
  target: ['to'],
  locations: ['routes'],
  location: ['path', 'routes'],
  rules: ['routes'],
  virtual_hosts: ['routes'],
  virtualHosts: ['routes'],
  server_name: ['host'],
  serverName: ['host'],
  domain: ['host'],
  domains: ['host'],
  hostname: ['host', 'name'],
  uri: ['path'],
  url: ['path', 'address'],
  prefix: ['path'],
  pathPrefix: ['path'],
  methods: ['method'],
  headers: ['header'],
  middlewares: ['use', 'filters'],
  middleware: ['use', 'filters'],
  plugins: ['use', 'filters'],
  filters: ['use'],
  return: ['respond', 'redirect'],
  lb_policy: ['balance'],
  lb_algorithm: ['balance'],
  loadBalancing: ['balance'],
  policy: ['balance', 'algorithm'],
  healthcheck: ['health'],
  healthCheck: ['health'],
  health_check: ['health'],
  health_checks: ['health'],
  healthChecks: ['health'],
  check: ['health'],
  httpchk: ['health'],
  probe: ['active'],
  maxconn: ['maxConnections', 'connections', 'perEndpoint'],
  max_conns: ['maxConnections'],
  maxConns: ['maxConnections'],
  keepalive: ['keepAlive'],
  keepalive_timeout: ['keepAliveFor', 'idle'],
  inter: ['interval'],
  slowstart: ['slowStart'],
  worker_processes: ['workers'],
  nbthread: ['workers'],
  threads: ['workers'],
  nbproc: ['workers'],
  global: ['process'],
  access_log: ['logs', 'access'],
  accessLog: ['logs', 'access'],
  log: ['logs'],
  logging: ['logs'],
  client_max_body_size: ['bodySize'],
  maxBodySize: ['bodySize'],
  proxy_connect_timeout: ['connect'],
  proxy_read_timeout: ['response'],
  connect_timeout: ['connect'],
  retries: ['retry', 'attempts'],
  retry_on: ['on'],
  api: ['admin'],
  stats: ['admin'],
  dashboard: ['admin'],
  real_ip: ['clientIp'],
  trustedProxies: ['clientIp', 'trust'],
  trusted_proxies: ['clientIp', 'trust'],
  xff: ['forwarded'],
  down: ['weight'],
});

/** The known word meant by `word`, or null. */
export function suggest(word: string, known: readonly string[], foreign?: Readonly<Record<string, string>>): string | null {
  const own = foreign?.[word] ?? foreign?.[word.toLowerCase()];
  if (own !== undefined) return own;
  const meant = foreignKeys[word];
  const hit = meant?.find((candidate) => known.includes(candidate));
  if (hit !== undefined) return hit;
  return nearest(word, known);
}

/** The candidate at the smallest edit distance, when it is small for the length of the word. */
export function nearest(word: string, candidates: readonly string[]): string | null {
  if (word.length > 64) return null;
  const plain = fold(word);
  const limit = plain.length <= 3 ? 1 : plain.length <= 7 ? 2 : 3;
  let best: string | null = null;
  let bestDistance = limit + 1;
  for (const candidate of candidates) {
    const distance = editDistance(plain, fold(candidate));
    if (distance < bestDistance && distance < Math.max(plain.length, candidate.length)) {
      best = candidate;
      bestDistance = distance;
    }
  }
  return best;
}

/** Case, `_` and `-` are written differently everywhere. */
function fold(word: string): string {
  return word.toLowerCase().replace(/[_-]/g, '');
}

/** Damerau's distance (insert, delete, replace, swap of neighbours), restricted to one edit a place. */
export function editDistance(a: string, b: string): number {
  let before: number[] = [];
  let last = Array.from({ length: b.length + 1 }, (_, i) => i);
  for (let i = 1; i <= a.length; i++) {
    const row = [i];
    for (let j = 1; j <= b.length; j++) {
      const replace = last[j - 1] + (a[i - 1] === b[j - 1] ? 0 : 1);
      let cost = Math.min(replace, last[j] + 1, row[j - 1] + 1);
      if (i > 1 && j > 1 && a[i - 1] === b[j - 2] && a[i - 2] === b[j - 1]) cost = Math.min(cost, before[j - 2] + 1);
      row.push(cost);
    }
    before = last;
    last = row;
  }
  return last[b.length];
}
