import { conformance } from './conformance.ts';

conformance('power-of-two');
