/**
 * forbid-uring: forbids io_uring_setup to this process and its children, as the seccomp profile of Docker does: EPERM. For tests:
 *
 *     node --import ./src/sys/forbid-uring.ts src/main.ts ...
 *
 * A seccomp filter cannot be taken off again.
 */
import { PR_SET_NO_NEW_PRIVS, SYS_io_uring_setup } from './constants.generated.ts';
import { errno, fast } from './ffi.ts';
import { low, lowView } from './memory.ts';
import { SystemError } from './system-error.ts';

// linux/seccomp.h, linux/filter.h.
const PR_SET_SECCOMP = 22;
const SECCOMP_MODE_FILTER = 2;
const SECCOMP_RET_ERRNO_EPERM = 0x0005_0001;
const SECCOMP_RET_ALLOW = 0x7fff_0000;
const BPF_LD_W_ABS = 0x20;
const BPF_JEQ_K = 0x15;
const BPF_RET_K = 0x06;

/** Instructions of classic BPF: code, jump if true, jump if false, operand. Word 0 of seccomp_data is the number of the call. */
const program: readonly (readonly [code: number, ifTrue: number, ifFalse: number, operand: number])[] = [
  [BPF_LD_W_ABS, 0, 0, 0],
  [BPF_JEQ_K, 0, 1, SYS_io_uring_setup],
  [BPF_RET_K, 0, 0, SECCOMP_RET_ERRNO_EPERM],
  [BPF_RET_K, 0, 0, SECCOMP_RET_ALLOW],
];
const INSTRUCTION_BYTES = 8;
const PROGRAM_AT = 16;

const prctl = fast<(option: number, a: bigint, b: bigint, c: bigint, d: bigint) => number>(
  'prctl',
  ['int32', 'uint64', 'uint64', 'uint64', 'uint64'],
  'int32',
);
program.forEach(([code, ifTrue, ifFalse, operand], i) => {
  const at = PROGRAM_AT + i * INSTRUCTION_BYTES;
  lowView.setUint16(at, code, true);
  lowView.setUint8(at + 2, ifTrue);
  lowView.setUint8(at + 3, ifFalse);
  lowView.setUint32(at + 4, operand, true);
});
// struct sock_fprog: length, pointer.
lowView.setUint16(0, program.length, true);
lowView.setBigUint64(8, BigInt(low.address + PROGRAM_AT), true);
if (prctl(PR_SET_NO_NEW_PRIVS, 1n, 0n, 0n, 0n) < 0) throw new SystemError('prctl', errno[0]!);
if (prctl(PR_SET_SECCOMP, BigInt(SECCOMP_MODE_FILTER), low.pointer, 0n, 0n) < 0) throw new SystemError('prctl', errno[0]!);
