/** What a config in TypeScript imports. */
import type { Config } from './schema.ts';

export type { Config, EndpointConfig, FilterConfig, ListenerConfig, PoolConfig, RouteConfig, TestConfig } from './schema.ts';

/** Gives back its argument; it is there for the types. */
export function defineConfig(config: Config): Config {
  return config;
}
