#!/bin/bash
# Makes the image that helm/Dockerfile builds in out of Debian's packages alone, where no registry of images is at hand:
#
#   helm/ci/builder.sh localhost/gatepost-builder arm64
#   buildah build -f helm/Dockerfile --build-arg BUILDER=localhost/gatepost-builder -t gatepost:0.1.0 .
#
# With names of other architectures it has the cross compilers for these, so that no build fetches them anew.
# Wants root, debootstrap and buildah.
set -euo pipefail
name=${1:-localhost/gatepost-builder}
shift $(($# < 1 ? $# : 1))
suite=trixie mirror=http://deb.debian.org/debian
work=$(buildah from scratch)
trap 'buildah umount "$work" > /dev/null; buildah rm "$work" > /dev/null' EXIT
root=$(buildah mount "$work")
debootstrap --variant=minbase --include=ca-certificates "$suite" "$root" "$mirror" > /dev/null
# The Rust of the stable release is older than ours may be.
echo "deb $mirror $suite-backports main" > "$root/etc/apt/sources.list.d/backports.list"
cross=() rust=(cargo rustc)
for other; do
  dpkg --root="$root" --add-architecture "$other"
  case "$other" in amd64) machine=x86-64 ;; arm64) machine=aarch64 ;; *) echo "no such architecture: $other"; exit 1 ;; esac
  cross+=("gcc-$machine-linux-gnu" "libc6-dev-$other-cross")
  rust+=("libstd-rust-dev:$other")
done
buildah run --isolation chroot "$work" -- sh -euc "
  export DEBIAN_FRONTEND=noninteractive
  apt-get -qq update
  apt-get -qq install -y --no-install-recommends gcc libc6-dev make ${cross[*]} > /dev/null
  apt-get -qq install -y --no-install-recommends -t $suite-backports ${rust[*]} > /dev/null
  apt-get -qq clean
  cargo --version"
buildah commit --quiet "$work" "$name"
