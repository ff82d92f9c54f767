import { conformance } from './conformance.ts';

conformance('least-requests');
