-- Prints the run as one line of JSON; latencies in microseconds.
done = function(summary, latency)
  local e = summary.errors
  io.write(string.format(
    'JSON {"requests":%d,"us":%d,"bytes":%d,"errors":%d,"status":%d,"p50":%d,"p99":%d,"p999":%d}\n',
    summary.requests, summary.duration, summary.bytes, e.connect + e.read + e.write + e.timeout, e.status,
    latency:percentile(50), latency:percentile(99), latency:percentile(99.9)))
end
