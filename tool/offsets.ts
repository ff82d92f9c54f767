/**
 * offsets: reads constants, struct sizes and field offsets out of the kernel and libc headers, and writes
 * src/sys/constants.generated.ts. A small C program prints them; nothing is copied by hand.
 *
 *     node tool/offsets.ts          writes the file
 *     node tool/offsets.ts --print  prints it
 */
import { execFileSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

export const generatedPath: string = join(import.meta.dirname, '../src/sys/constants.generated.ts');

const headers = [
  'errno.h',
  'fcntl.h',
  'netinet/in.h',
  'netinet/tcp.h',
  'netinet/udp.h',
  'poll.h',
  'sched.h',
  'signal.h',
  'stddef.h',
  'stdio.h',
  'sys/epoll.h',
  'sys/eventfd.h',
  'sys/mman.h',
  'sys/prctl.h',
  'sys/resource.h',
  'sys/signalfd.h',
  'sys/socket.h',
  'sys/syscall.h',
  'sys/uio.h',
  'sys/un.h',
  'linux/inet_diag.h',
  'linux/io_uring.h',
  'linux/netlink.h',
  'linux/sock_diag.h',
  'time.h',
];

/** Names by group; a group becomes one paragraph of the file. */
const constants: readonly string[] = [
  // Errors
  `EPERM ENOENT EINTR EIO ENXIO EBADF ECHILD EAGAIN ENOMEM EACCES EFAULT EBUSY EEXIST ENODEV EINVAL ENFILE EMFILE ENOSPC EPIPE
   ENAMETOOLONG ENOSYS ETIME EPROTO EOVERFLOW ENOTSOCK EDESTADDRREQ EMSGSIZE ENOPROTOOPT EPROTONOSUPPORT EOPNOTSUPP EAFNOSUPPORT
   EADDRINUSE EADDRNOTAVAIL ENETDOWN ENETUNREACH ECONNABORTED ECONNRESET ENOBUFS EISCONN ENOTCONN ETIMEDOUT ECONNREFUSED EHOSTDOWN
   EHOSTUNREACH EALREADY EINPROGRESS ECANCELED`,
  // Files
  `O_RDONLY O_WRONLY O_RDWR O_CREAT O_EXCL O_TRUNC O_APPEND O_NONBLOCK O_CLOEXEC O_DIRECTORY F_GETFD F_SETFD F_GETFL F_SETFL
   F_DUPFD_CLOEXEC FD_CLOEXEC F_ADD_SEALS F_SEAL_SHRINK F_SEAL_GROW F_SETPIPE_SZ F_GETPIPE_SZ SPLICE_F_MOVE SPLICE_F_NONBLOCK AT_FDCWD`,
  // Memory
  `PROT_READ PROT_WRITE MAP_SHARED MAP_PRIVATE MAP_ANONYMOUS MAP_NORESERVE MAP_POPULATE MAP_FIXED_NOREPLACE
   MADV_DONTNEED MADV_HUGEPAGE MADV_NOHUGEPAGE MADV_DONTFORK MFD_CLOEXEC MFD_ALLOW_SEALING`,
  // Sockets
  `AF_UNSPEC AF_UNIX AF_INET AF_INET6 SOCK_STREAM SOCK_DGRAM SOCK_NONBLOCK SOCK_CLOEXEC SOL_SOCKET SO_REUSEADDR SO_ERROR SO_SNDBUF
   SO_RCVBUF SO_RCVTIMEO SO_SNDTIMEO SO_KEEPALIVE SO_LINGER SO_REUSEPORT SO_ACCEPTCONN SO_INCOMING_CPU SO_BUSY_POLL SO_MARK SO_PEERCRED SO_TYPE SO_DOMAIN
   SO_PROTOCOL SO_ATTACH_REUSEPORT_CBPF
   IPPROTO_IP IPPROTO_IPV6 IPPROTO_TCP IPPROTO_UDP IPV6_V6ONLY IP_TRANSPARENT IP_FREEBIND IP_BIND_ADDRESS_NO_PORT IP_PKTINFO
   IPV6_TRANSPARENT IPV6_RECVPKTINFO IPV6_PKTINFO IP_RECVERR SOL_UDP UDP_SEGMENT UDP_GRO
   TCP_NODELAY TCP_CORK TCP_KEEPIDLE TCP_KEEPINTVL TCP_KEEPCNT TCP_DEFER_ACCEPT TCP_INFO TCP_QUICKACK TCP_USER_TIMEOUT
   TCP_FASTOPEN TCP_NOTSENT_LOWAT
   MSG_OOB MSG_PEEK MSG_DONTWAIT MSG_WAITALL MSG_NOSIGNAL MSG_MORE MSG_TRUNC MSG_CTRUNC MSG_CMSG_CLOEXEC SCM_RIGHTS SHUT_RD SHUT_WR
   SHUT_RDWR SOMAXCONN`,
  // Questions about sockets (sock_diag(7))
  `AF_NETLINK SOCK_RAW NETLINK_SOCK_DIAG NLM_F_REQUEST NLM_F_DUMP NLMSG_ERROR NLMSG_DONE SOCK_DIAG_BY_FAMILY INET_DIAG_REQ_BYTECODE
   INET_DIAG_BC_NOP INET_DIAG_BC_JMP INET_DIAG_BC_D_EQ TCP_SYN_SENT TCP_TIME_WAIT TCP_CLOSE TCP_LISTEN`,
  // Readiness
  `EPOLL_CLOEXEC EPOLL_CTL_ADD EPOLL_CTL_DEL EPOLL_CTL_MOD EPOLLIN EPOLLOUT EPOLLERR EPOLLHUP EPOLLRDHUP EPOLLEXCLUSIVE EPOLLONESHOT
   POLLIN POLLOUT POLLERR POLLHUP EFD_CLOEXEC EFD_NONBLOCK SFD_CLOEXEC SFD_NONBLOCK`,
  // Processes
  `PR_SET_PDEATHSIG PR_SET_NAME PR_SET_DUMPABLE PR_SET_NO_NEW_PRIVS RLIMIT_NOFILE RLIMIT_MEMLOCK SIGHUP SIGINT SIGQUIT SIGKILL
   SIGUSR1 SIGUSR2 SIGPIPE SIGTERM SIGCHLD SIGCONT SIGSTOP SIG_BLOCK SIG_UNBLOCK CLOCK_MONOTONIC CLOCK_REALTIME
   SYS_pidfd_open SYS_pidfd_getfd SYS_memfd_create SYS_io_uring_setup SYS_io_uring_enter SYS_io_uring_register SYS_bpf`,
  // io_uring: set-up and entering
  `IORING_SETUP_IOPOLL IORING_SETUP_SQPOLL IORING_SETUP_CQSIZE IORING_SETUP_CLAMP IORING_SETUP_SUBMIT_ALL IORING_SETUP_COOP_TASKRUN
   IORING_SETUP_TASKRUN_FLAG IORING_SETUP_SINGLE_ISSUER IORING_SETUP_DEFER_TASKRUN IORING_FEAT_SINGLE_MMAP IORING_FEAT_NODROP
   IORING_FEAT_FAST_POLL IORING_FEAT_EXT_ARG IORING_ENTER_GETEVENTS IORING_ENTER_EXT_ARG IORING_ENTER_REGISTERED_RING
   IORING_SQ_CQ_OVERFLOW IORING_SQ_TASKRUN IORING_CQE_F_BUFFER IORING_CQE_F_MORE IORING_CQE_F_SOCK_NONEMPTY IORING_CQE_F_NOTIF
   IORING_CQE_BUFFER_SHIFT`,
  // io_uring: memory
  `IORING_OFF_SQ_RING IORING_OFF_CQ_RING IORING_OFF_SQES`,
  // io_uring: registration
  `IORING_REGISTER_PROBE IORING_REGISTER_RING_FDS IORING_UNREGISTER_RING_FDS IORING_REGISTER_PBUF_RING IORING_UNREGISTER_PBUF_RING
   IORING_REGISTER_FILES2 IORING_REGISTER_FILE_ALLOC_RANGE IO_URING_OP_SUPPORTED`,
  // io_uring: operations
  `IORING_OP_NOP IORING_OP_SENDMSG IORING_OP_RECVMSG IORING_OP_TIMEOUT IORING_OP_TIMEOUT_REMOVE IORING_OP_ACCEPT
   IORING_OP_ASYNC_CANCEL IORING_OP_CONNECT IORING_OP_CLOSE IORING_OP_READ IORING_OP_WRITE IORING_OP_SEND IORING_OP_RECV
   IORING_OP_POLL_ADD IORING_OP_SHUTDOWN IORING_OP_SOCKET IORING_OP_MSG_RING IORING_OP_SEND_ZC`,
  // io_uring: flags of operations
  `IOSQE_FIXED_FILE IOSQE_IO_LINK IOSQE_IO_HARDLINK IOSQE_ASYNC IOSQE_BUFFER_SELECT IOSQE_CQE_SKIP_SUCCESS IORING_ACCEPT_MULTISHOT
   IORING_RECV_MULTISHOT IORING_RECVSEND_POLL_FIRST IORING_RECVSEND_FIXED_BUF IORING_ASYNC_CANCEL_ALL IORING_ASYNC_CANCEL_FD
   IORING_ASYNC_CANCEL_ANY IORING_TIMEOUT_ABS IORING_TIMEOUT_UPDATE`,
];

/** Structs with the fields whose offsets are wanted. Names become `io_uring_sqe_user_data`. */
const structs: readonly (readonly [type: string, fields: string])[] = [
  ['struct io_uring_sqe', 'opcode flags ioprio fd off addr len msg_flags user_data buf_index buf_group personality file_index'],
  ['struct io_uring_cqe', 'user_data res flags'],
  ['struct io_uring_params', 'sq_entries cq_entries flags sq_thread_cpu sq_thread_idle features wq_fd sq_off cq_off'],
  ['struct io_sqring_offsets', 'head tail ring_mask ring_entries flags dropped array'],
  ['struct io_cqring_offsets', 'head tail ring_mask ring_entries overflow cqes flags'],
  ['struct io_uring_buf', 'addr len bid resv'],
  ['struct io_uring_buf_reg', 'ring_addr ring_entries bgid'],
  ['struct io_uring_probe', 'last_op ops_len ops'],
  ['struct io_uring_probe_op', 'op flags'],
  ['struct io_uring_rsrc_update', 'offset data'],
  ['struct __kernel_timespec', 'tv_sec tv_nsec'],
  ['struct epoll_event', 'events data'],
  ['struct msghdr', 'msg_name msg_namelen msg_iov msg_iovlen msg_control msg_controllen msg_flags'],
  ['struct mmsghdr', 'msg_hdr msg_len'],
  ['struct io_uring_recvmsg_out', 'namelen controllen payloadlen flags'],
  ['struct in_pktinfo', 'ipi_ifindex ipi_spec_dst ipi_addr'],
  ['struct in6_pktinfo', 'ipi6_addr ipi6_ifindex'],
  ['struct cmsghdr', 'cmsg_len cmsg_level cmsg_type'],
  ['struct iovec', 'iov_base iov_len'],
  ['struct sockaddr_in', 'sin_family sin_port sin_addr'],
  ['struct sockaddr_in6', 'sin6_family sin6_port sin6_flowinfo sin6_addr sin6_scope_id'],
  ['struct sockaddr_un', 'sun_family sun_path'],
  ['struct linger', 'l_onoff l_linger'],
  ['struct rlimit', 'rlim_cur rlim_max'],
  ['struct nlmsghdr', 'nlmsg_len nlmsg_type nlmsg_flags'],
  ['struct nlattr', 'nla_len nla_type'],
  ['struct inet_diag_req_v2', 'sdiag_family sdiag_protocol idiag_states'],
  ['struct inet_diag_bc_op', 'code yes no'],
  ['struct inet_diag_msg', 'idiag_family idiag_state id'],
  ['struct inet_diag_sockid', 'idiag_sport idiag_dport idiag_src idiag_dst'],
  ['struct signalfd_siginfo', 'ssi_signo ssi_pid'],
];

const words = (text: string): string[] => text.trim().split(/\s+/);

function program(): string {
  const lines = ['#define _GNU_SOURCE', ...headers.map((header) => `#include <${header}>`), 'int main(void) {'];
  for (const group of constants) {
    for (const name of words(group)) lines.push(`  printf("${name} %lld\\n", (long long)(${name}));`);
    lines.push('  puts("");');
  }
  for (const [type, fields] of structs) {
    const stem = type.replace(/^struct (__kernel_)?/, '');
    lines.push(`  printf("${stem}_BYTES %zu\\n", sizeof(${type}));`);
    for (const field of words(fields)) lines.push(`  printf("${stem}_${field} %zu\\n", offsetof(${type}, ${field}));`);
    lines.push('  puts("");');
  }
  return [...lines, '  return 0;', '}', ''].join('\n');
}

/** Text of the generated file. Throws when there is no C compiler or a header is missing. */
export function generate(): string {
  const folder = mkdtempSync(join(tmpdir(), 'weir-offsets-'));
  try {
    writeFileSync(join(folder, 'offsets.c'), program());
    execFileSync('cc', ['-O0', '-o', join(folder, 'offsets'), join(folder, 'offsets.c')], {
      stdio: ['ignore', 'ignore', 'pipe'],
    });
    const printed = execFileSync(join(folder, 'offsets'), { encoding: 'utf8' });
    const head = `// Written by tool/offsets.ts from the kernel and libc headers of ${process.arch}. Do not edit.\n\n`;
    const body = printed.trim().replace(/^(\w+) (-?\d+)$/gm, 'export const $1 = $2;');
    return head + body + '\n';
  } finally {
    rmSync(folder, { recursive: true });
  }
}

if (import.meta.main) {
  if (process.argv.includes('--print')) process.stdout.write(generate());
  else {
    const text = generate();
    let before = '';
    try {
      before = readFileSync(generatedPath, 'utf8');
    } catch {}
    if (before !== text) writeFileSync(generatedPath, text);
    process.stdout.write(`${before === text ? 'unchanged' : 'written'}: src/sys/constants.generated.ts\n`);
  }
}
