/**
 * The import law of the house (ARCHITECTURE.md, Law 1 and 2): which room may import which. A test reads every import under src/ and holds it to this.
 * `cli` may start anything, `main` only commands.
 */
export const mayImport: Readonly<Record<string, readonly string[]>> = {
  base: [],
  sys: ['base'],
  state: ['base', 'sys'],
  protocol: ['base'],
  route: ['base', 'state'],
  filter: ['base', 'state'],
  balance: ['base', 'state'],
  health: ['base', 'state'],
  io: ['base', 'sys'],
  tls: ['base', 'sys'],
  listen: ['base', 'state', 'io', 'tls', 'protocol'],
  upstream: ['base', 'state', 'io', 'tls', 'protocol'],
  relay: ['base', 'state', 'protocol', 'route', 'filter', 'balance', 'upstream'],
  worker: ['base', 'sys', 'state', 'io', 'tls', 'listen', 'upstream', 'relay', 'route', 'filter', 'balance'],
  edge: ['base', 'sys', 'state', 'balance'],
  lab: ['base', 'state', 'route', 'filter', 'balance', 'health'],
  control: ['base', 'sys', 'state', 'route', 'filter', 'balance', 'health', 'lab'],
  cli: ['base', 'sys', 'state', 'health', 'control', 'lab'],
};

/** Rooms in which a file other than the room's front door (or a type) may be imported from outside: shelves, not rooms. */
export const shelves: readonly string[] = ['base', 'sys', 'state'];
