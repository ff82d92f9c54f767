/** What a listener that carries bytes as they are does with a connection: its routes, made ready to run. */
export { type StreamRoute, StreamTable } from '../route/route.ts';
