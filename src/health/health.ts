/**
 * health: what checks and live traffic say of an endpoint. Results, counts and times come in; verdicts come out.
 *
 * It does not know: how a check is made, where counts are kept, who carries a verdict out. So the simulator judges as the product does.
 */
export { type Finding, OutlierJudge } from './outlier.ts';
export { restMs } from './rhythm.ts';
export { type CheckResult, type HealthStatus, Verdict } from './verdict.ts';
