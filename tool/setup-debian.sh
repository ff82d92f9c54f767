#!/usr/bin/env bash
# Installs what the tests and benchmarks start besides weir: the peers, a load generator, servers and clients of the protocols that
# pass through, network namespaces, a C compiler for the offsets.
# Does nothing when all of it is there. Starts no service: Debian's packages would, so they are told not to (policy-rc.d), and
# what this run installed is not enabled for the next boot either.
set -euo pipefail

# command:package
wanted=(haproxy:haproxy nginx:nginx wrk:wrk h2load:nghttp2-client gcc:gcc curl:curl taskset:util-linux prlimit:util-linux
  redis-server:redis-server redis-cli:redis-tools psql:postgresql-client dnsmasq:dnsmasq-base openssl:openssl ip:iproute2)
packages=()
for pair in "${wanted[@]}"; do
  PATH="$PATH:/usr/sbin:/sbin" command -v "${pair%%:*}" >/dev/null || packages+=("${pair##*:}")
done
# Not in a folder of PATH.
compgen -G '/usr/lib/postgresql/*/bin/postgres' >/dev/null || packages+=(postgresql)
# nginx's proxy of connections and datagrams is a module of its own in Debian.
[ -e /usr/lib/nginx/modules/ngx_stream_module.so ] || packages+=(libnginx-mod-stream)
[ -e /usr/include/linux/io_uring.h ] || packages+=(linux-libc-dev)
[ -e /usr/include/stdio.h ] || packages+=(libc6-dev)
[ ${#packages[@]} -eq 0 ] && exit 0

if [ "$(id -u)" != 0 ] || ! command -v apt-get >/dev/null; then
  echo "not installed: ${packages[*]}; the tests that need them are skipped" >&2
  exit 0
fi

policy=/usr/sbin/policy-rc.d
if [ ! -e "$policy" ]; then
  printf '#!/bin/sh\nexit 101\n' >"$policy"
  chmod +x "$policy"
  trap 'rm -f "$policy"' EXIT
fi
export DEBIAN_FRONTEND=noninteractive
echo "installing ${packages[*]}" >&2
apt-get -qq update </dev/null >&2
apt-get -qq install -y --no-install-recommends "${packages[@]}" </dev/null >/dev/null
for service in haproxy nginx redis-server postgresql; do
  case " ${packages[*]} " in
    *" $service "*) [ -d /run/systemd/system ] && systemctl disable --now "$service" >/dev/null 2>&1 || true ;;
  esac
done
