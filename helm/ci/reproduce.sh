#!/bin/bash
# Shows that the image is reproducible: builds it twice from the same commit, in different places and at different
# times, and compares the program and the image, byte for byte.
#
#   helm/ci/reproduce.sh localhost/gatepost-builder          # or docker.io/library/rust@sha256:…
#   helm/ci/reproduce.sh localhost/gatepost-builder arm64
#   helm/ci/reproduce.sh localhost/gatepost-builder amd64 --volume ~/.cargo/registry:/root/.cargo/registry:O
#
# What follows the architecture is for `buildah build`: there crates that were fetched already serve again.
# The image stays, as localhost/gatepost:ARCHITECTURE. Wants root, git and buildah; each build takes minutes.
set -euo pipefail
cd "$(dirname "$0")/../.."
own=$(dpkg --print-architecture)
builder=$1 architecture=${2:-$own}
shift $(($# < 2 ? $# : 2))
more=("$@")
commit=$(git rev-parse HEAD)
epoch=$(git show -s --format=%ct "$commit")
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

# build TAG CONTEXT PLACE
build() {
  mkdir -p "$2"
  git archive "$commit" | tar -x -C "$2"
  buildah build --isolation chroot --quiet --no-cache --timestamp "$epoch" --platform "linux/$architecture" \
    --ignorefile "$2/helm/Dockerfile.dockerignore" -f "$2/helm/Dockerfile" -t "$1" \
    --build-arg "BUILDER=$builder" --build-arg "BUILDPLATFORM=linux/$own" --build-arg "TARGETARCH=$architecture" --build-arg "PLACE=$3" \
    --build-arg "SOURCE_DATE_EPOCH=$epoch" --build-arg "REVISION=$commit" \
    --build-arg "CREATED=$(date -u -d "@$epoch" +%FT%TZ)" "${more[@]}" "$2" > /dev/null
}

# digests TAG: of the program, then of the image.
digests() {
  local container
  container=$(buildah from "$1")
  (cd "$(buildah mount "$container")" && sha256sum usr/bin/gatepost)
  buildah rm "$container" > /dev/null
  echo "$(buildah inspect --type image --format '{{.FromImageDigest}}' "$1") image"
}

first=localhost/gatepost:$architecture second=localhost/gatepost:$architecture-again
build "$first" "$work/here" /src
digests "$first" | tee "$work/first"
build "$second" "$work/quite/another/place" /home/somebody/gatepost
digests "$second" > "$work/second"
buildah rmi "$second" > /dev/null
diff "$work/first" "$work/second"
echo "built twice, byte for byte the same"
