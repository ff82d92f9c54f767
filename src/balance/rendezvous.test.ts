import { conformance } from './conformance.ts';
import { hashingConformance } from './hashing.ts';

conformance('rendezvous');
hashingConformance('rendezvous', 0);
