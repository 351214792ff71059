#!/bin/bash
# Shows that the image starts: not as root, nothing writable, in a network of its own, with names found by /etc/hosts
# and by DNS. `gatepost check` and `probe` run in it, and curl logs in from outside.
#
#   helm/ci/image.sh localhost/gatepost:amd64
#
# An image for another machine runs on an emulator of it, as in Debian's qemu-user-static; QEMU= names one elsewhere:
#
#   QEMU=/usr/bin/qemu-aarch64-static helm/ci/image.sh localhost/gatepost:arm64
#
# Wants root, buildah, unshare (util-linux), python3 and curl.
set -euo pipefail
here=$(dirname "$(realpath "$0")")
if [ "${2:-}" != inside ]; then
  container=$(buildah from "$1")
  trap 'buildah rm "$container" > /dev/null' EXIT
  label() { buildah inspect --type image --format "{{index .OCIv1.Config.Labels \"org.opencontainers.image.$1\"}}" "$2"; }
  user=$(buildah inspect --type image --format '{{.OCIv1.Config.User}}' "$1")
  for name in title description licenses version; do
    [ -n "$(label $name "$1")" ] || { echo "no label says the $name"; exit 1; }
  done
  [ "$user" = 65532:65532 ] || { echo "it would run as \"$user\""; exit 1; }
  machine=$(buildah inspect --type image --format '{{.OCIv1.Architecture}}' "$1")
  if [ "$machine" != "$(dpkg --print-architecture)" ] && [ -z "${QEMU:-}" ]; then
    case "$machine" in arm64) machine=aarch64 ;; amd64) machine=x86_64 ;; esac
    QEMU=$(command -v "qemu-$machine-static" || true)
    [ -n "$QEMU" ] || { echo "this image wants qemu-$machine-static, from Debian's qemu-user-static"; exit 1; }
  fi
  export QEMU=${QEMU:-}
  unshare --mount --net "$0" "$(buildah mount "$container")" inside
  exit
fi

root=$1
ip link set lo up 2>/dev/null || python3 - <<'PY'
import fcntl, socket, struct
with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
    fcntl.ioctl(s, 0x8914, struct.pack("16sh14x", b"lo", 0x1 | 0x40))  # SIOCSIFFLAGS: IFF_UP | IFF_RUNNING
PY
work=$(mktemp -d)
trap 'kill $(jobs -p) 2>/dev/null; wait; umount -R "$work/root"; rm -rf "$work"' EXIT
mkdir "$work/root" "$work/etc"
mount --bind "$root" "$work/root"
cp -a "$root/etc/." "$work/etc/"
printf '127.0.0.1 localhost by-hosts.example\n' > "$work/etc/hosts"
printf 'nameserver 127.0.0.1\n' > "$work/etc/resolv.conf"
cat > "$work/etc/gatepost/proxy.yaml" <<'YAML'
listeners: [imap://0.0.0.0:1143, imaps://0.0.0.0:1993, pop3s://0.0.0.0:1995]
backends: { demo: demo:// }
users: { "*": demo }
admin: { bind: 127.0.0.1:9090 }
YAML
program=(/usr/bin/gatepost)
if [ -n "$QEMU" ]; then
  install -m 755 "$QEMU" "$work/etc/emulator"
  program=(/etc/emulator "${program[@]}")
fi
mount --bind "$work/etc" "$work/root/etc"
mount -o remount,bind,ro "$work/root/etc"
mount -o remount,bind,ro "$work/root"
if touch "$work/root/tried" "$work/root/etc/tried" 2>/dev/null; then echo "the root can be written"; exit 1; fi

programs=$(cd "$root" && find . -type f -perm /111)
[ "$programs" = ./usr/bin/gatepost ] || { echo "programs besides gatepost: $programs"; exit 1; }
[ -z "$(find "$root" -perm /6000)" ] || { echo "setuid files"; exit 1; }

gatepost=(env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin GATEPOST_CONFIG=/etc/gatepost/proxy.yaml GATEPOST_PASSWORD=demo
  setpriv --no-new-privs --inh-caps=-all chroot --userspec=65532:65532 "$work/root" "${program[@]}")
"${gatepost[@]}" --version
"${gatepost[@]}" check
python3 "$here/names.py" & # answers for by-dns.example
for _ in $(seq 100); do
  if grep -q ': 0100007F:0035 ' /proc/net/udp; then break; fi
  sleep 0.1
done
began=$(date +%s%3N)
"${gatepost[@]}" run & run=$!
ready=
for _ in $(seq 300); do
  ready=$(curl --silent --output /dev/null --write-out '%{http_code}' http://127.0.0.1:9090/readyz) || true
  if [ "$ready" = 200 ]; then break; fi
  sleep 0.1
done
[ "$ready" = 200 ] || { echo "not ready after 30 s: $ready"; exit 1; }
echo "ready after $(($(date +%s%3N) - began)) ms"
grep -q '^Uid:\s*65532\s*65532\s*65532\s*65532' "/proc/$run/status"
grep -q '^CapEff:\s*0*$' "/proc/$run/status"
for name in by-hosts.example by-dns.example; do
  "${gatepost[@]}" probe "imap://$name:1143" "imaps://$name:1993" "pop3s://$name:1995" --no-verify --user demo --exposed-login
done
if "${gatepost[@]}" probe imap://nowhere.example:1143; then echo "a name that is none was found"; exit 1; fi
for url in 'imaps://127.0.0.1:1993/INBOX;MAILINDEX=1' pop3s://127.0.0.1:1995/1; do
  curl --silent --show-error --insecure --user demo:demo "$url" | tr -d '\r' > "$work/said"
  [ -s "$work/said" ] || { echo "$url says nothing"; exit 1; }
  echo "$url: $(wc -l < "$work/said") lines of a message, by curl"
done
if curl --silent --insecure --user demo:wrong 'imaps://127.0.0.1:1993/INBOX;MAILINDEX=1'; then echo "any password serves"; exit 1; fi
kill -TERM "$run"
wait "$run"
echo "the image starts, serves and ends"
