/** Schema of health: active checks, what live traffic says, and what follows from both. */
import { z } from 'zod';
import { duration, mode, percent, span } from './leaves.ts';
import { ACTIVE_EXPECTED, active, activeShort } from './schema-check.ts';
import { count, either, noted, shape, yes } from './shape.ts';

const passive = either(
  'Passive health: endpoints are judged by live traffic, over all workers. true or nothing written: with the defaults; false: not at all.',
  'expected true, false or a map, for example { consecutiveFailures: 5, ejectFor: 30s }',
  [
    yes('With the defaults, or not at all.'),
    shape(
      'Passive health: endpoints are judged by live traffic, over all workers. What is the fault of the client or of weir never counts.',
      {
        consecutiveFailures: count(
          'Failures in a row that eject: no connection, no answer or a broken one, timeouts, 502, 503, 504. 0: off. Default 5.',
          0,
          1000,
        ).optional(),
        consecutive5xx: count('The same with every 5xx. 0: off. Default 5.', 0, 1000).optional(),
        errorRatio: percent(
          'Share of requests that failed (as consecutive5xx) within window that ejects. 0%: off. Default 0%.',
        ).optional(),
        latency: noted(
          z
            .number()
            .min(0)
            .max(1000)
            .refine((value) => value === 0 || value > 1)
            .describe(
              "Times the median response time of the pool's other endpoints that eject. 0: off. Default 0; 3 is a start.",
            ),
          { expected: 'expected 0 or a number above 1, for example 3', help: latencyHelp },
        ).optional(),
        minRequests: count(
          'Requests within window below which errorRatio and latency say nothing. Default 20.',
          1,
          1_000_000,
        ).optional(),
        window: span('Time over which errorRatio and latency look. Default 10s.').optional(),
        ejectFor: span('Time without requests, times the number of ejections in a row. Default 30s.').optional(),
        maxEjectFor: span('Longest time without requests. Default 5m, and at least ejectFor.').optional(),
        maxEjected: percent(
          "Share of the pool's endpoints that may be ejected at once; one of two or more always may. Default 50%.",
        ).optional(),
        mode: mode.optional(),
      },
      {
        foreign: {
          consecutive_gateway_failure: 'consecutiveFailures',
          consecutiveGatewayErrors: 'consecutiveFailures',
          consecutiveErrors: 'consecutiveFailures',
          'error-limit': 'consecutiveFailures',
          max_fails: 'consecutiveFailures',
          maxFails: 'consecutiveFailures',
          maxFailedAttempts: 'consecutiveFailures',
          fall: 'consecutiveFailures',
          consecutive5xxErrors: 'consecutive5xx',
          failure_percentage_threshold: 'errorRatio',
          errorRate: 'errorRatio',
          fail_timeout: 'ejectFor',
          fail_duration: 'ejectFor',
          baseEjectionTime: 'ejectFor',
          base_ejection_time: 'ejectFor',
          max_ejection_time: 'maxEjectFor',
          maxEjectionTime: 'maxEjectFor',
          max_ejection_percent: 'maxEjected',
          maxEjectionPercent: 'maxEjected',
          unhealthy_latency: 'latency',
          failureWindow: 'window',
          interval: 'window',
          failure_percentage_request_volume: 'minRequests',
          requestVolume: 'minRequests',
          enforcing: 'mode',
          observe: 'mode',
        },
      },
    ),
  ],
);

function latencyHelp(value: unknown): string | undefined {
  return typeof value === 'string' ? 'it is a factor, as in 3 times the median, not a time' : undefined;
}

export const health = either('Health. Short form: the path to ask for, or what is spoken.', ACTIVE_EXPECTED, [
  activeShort,
  shape(
    'Health of the endpoints: active checks, live traffic, and what follows.',
    {
      active: active.optional(),
      passive: passive.optional(),
      slowStart: duration(
        'Time in which an endpoint that became ready grows from a tenth to its full share. 0s: at once. Default 0s.',
      ).optional(),
      panicThreshold: percent(
        'Share of the endpoints that must be ready: with fewer, health and ejections are ignored and all are used, loudly. 0%: never. Default 0%.',
      ).optional(),
    },
    {
      notYet: ['agent'],
      foreign: {
        path: 'active: { path: … }',
        interval: 'active: { interval: … }',
        type: 'active: { type: … }',
        timeout: 'active: { timeout: … }',
        outlierDetection: 'passive',
        outlier_detection: 'passive',
        outlier: 'passive',
        observe: 'passive',
        warmup: 'slowStart',
        healthy_panic_threshold: 'panicThreshold',
        panic: 'panicThreshold',
        consecutive5xx: 'passive: { consecutive5xx: … }',
        consecutiveFailures: 'passive: { consecutiveFailures: … }',
        ejectFor: 'passive: { ejectFor: … }',
      },
    },
  ),
]);
