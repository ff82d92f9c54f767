import { conformance } from './conformance.ts';

conformance('round-robin');
