#!/bin/bash
# Shows that the root file system of an image starts: not as root, nothing writable, in a network of its own, with
# names found by /etc/hosts and by DNS.
#
#   root=$(buildah mount "$(buildah from gatepost:0.1.0)"); helm/ci/image.sh "$root"
#
# An image for another machine runs on an emulator of it, as in Debian's qemu-user-static:
#
#   QEMU=/usr/bin/qemu-aarch64-static helm/ci/image.sh "$root"
#
# Wants root, unshare (util-linux) and python3.
set -euo pipefail
root=$(realpath "$1")
here=$(dirname "$(realpath "$0")")
if [ "${2:-}" != inside ]; then exec unshare --mount --net "$0" "$root" inside; fi

ip link set lo up 2>/dev/null || python3 - <<'END'
import fcntl, socket, struct
with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
    fcntl.ioctl(s, 0x8914, struct.pack("16sh14x", b"lo", 0x1 | 0x40))  # SIOCSIFFLAGS: IFF_UP | IFF_RUNNING
END
work=$(mktemp -d)
trap 'kill $(jobs -p) 2>/dev/null; wait; umount -R "$work/root"; rm -rf "$work"' EXIT
mkdir "$work/root" "$work/etc"
mount --bind "$root" "$work/root"
cp -a "$root/etc/." "$work/etc/"
printf '127.0.0.1 localhost by-hosts.example\n' > "$work/etc/hosts"
printf 'nameserver 127.0.0.1\n' > "$work/etc/resolv.conf"
cat > "$work/etc/gatepost/proxy.yaml" <<'END'
listeners: [imap://0.0.0.0:1143, imaps://0.0.0.0:1993, pop3s://0.0.0.0:1995]
backends: { demo: demo:// }
users: { "*": demo }
admin: { bind: 127.0.0.1:9090 }
END
program=(/usr/bin/gatepost)
if [ -n "${QEMU:-}" ]; then
  install -m 755 "$QEMU" "$work/etc/emulator"
  program=(/etc/emulator "${program[@]}")
fi
mount --bind "$work/etc" "$work/root/etc"
mount -o remount,bind,ro "$work/root/etc"
mount -o remount,bind,ro "$work/root"

programs=$(cd "$root" && find . -type f -perm /111)
[ "$programs" = ./usr/bin/gatepost ] || { echo "programs besides gatepost: $programs"; exit 1; }
[ -z "$(find "$root" -perm /6000)" ] || { echo "setuid files"; exit 1; }

gatepost=(env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin GATEPOST_CONFIG=/etc/gatepost/proxy.yaml GATEPOST_PASSWORD=demo
  setpriv --no-new-privs --inh-caps=-all chroot --userspec=65532:65532 "$work/root" "${program[@]}")
"${gatepost[@]}" --version
"${gatepost[@]}" check
python3 "$here/names.py" & # answers for by-dns.example
"${gatepost[@]}" run & run=$!
for _ in $(seq 100); do
  if python3 -c 'import urllib.request as u; u.urlopen("http://127.0.0.1:9090/readyz")' 2>/dev/null; then break; fi
  sleep 0.1
done
grep -q '^Uid:\s*65532' "/proc/$run/status"
for name in by-hosts.example by-dns.example; do
  "${gatepost[@]}" probe "imap://$name:1143" "imaps://$name:1993" "pop3s://$name:1995" --no-verify --user demo --exposed-login
done
if "${gatepost[@]}" probe imap://nowhere.example:1143; then echo "a name that is none was found"; exit 1; fi
kill -TERM "$run"
wait "$run"
echo "the image starts, serves and ends"
