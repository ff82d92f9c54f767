import { conformance } from './conformance.ts';

conformance('first');
