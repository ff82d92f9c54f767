import { conformance } from './conformance.ts';
import { hashingConformance } from './hashing.ts';

// 160 points a unit of weight: shares stray by some percent of themselves.
conformance('ring-hash', 0.05);
hashingConformance('ring-hash', 0);
