import { conformance } from './conformance.ts';
import { hashingConformance } from './hashing.ts';

conformance('source');
hashingConformance('source', 0.02);
