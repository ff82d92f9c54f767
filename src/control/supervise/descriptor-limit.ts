/** How many descriptors a process may open (RLIMIT_NOFILE). */
import { RLIMIT_NOFILE } from '../../sys/constants.generated.ts';
import { getrlimit, setrlimit } from '../../sys/libc.ts';

/** When the limit is "infinity". */
const DESCRIPTORS_MAX = 1_048_576;
/** When the kernel does not say: its own default for the soft limit. */
const DESCRIPTORS = 1024;

/** Soft limit up to the hard one; workers inherit it. Returns the limit. */
export function raiseDescriptorLimit(): number {
  const limit = getrlimit(RLIMIT_NOFILE);
  if (typeof limit === 'number') return DESCRIPTORS;
  const { soft, hard } = limit;
  const raised = soft < hard && setrlimit(RLIMIT_NOFILE, hard, hard) === 0 ? hard : soft;
  return Math.min(raised, DESCRIPTORS_MAX);
}
