#!/bin/bash
# Shows that the image is reproducible: builds it twice from the same commit and compares the program and the image,
# byte for byte. The second time the place, the host's name, the time zone, the umask and the times of the files are others.
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

# build TAG CONTEXT PLACE [BEFORE…]: BEFORE runs the build
build() {
  local tag=$1 context=$2 place=$3 began=$SECONDS
  shift 3
  "$@" buildah build --isolation chroot --quiet --no-cache --timestamp "$epoch" --platform "linux/$architecture" \
    --ignorefile "$context/helm/Dockerfile.dockerignore" -f "$context/helm/Dockerfile" -t "$tag" \
    --build-arg "BUILDER=$builder" --build-arg "BUILDPLATFORM=linux/$own" --build-arg "TARGETARCH=$architecture" \
    --build-arg "PLACE=$place" --build-arg "SOURCE_DATE_EPOCH=$epoch" --build-arg "REVISION=$commit" \
    --build-arg "CREATED=$(date -u -d "@$epoch" +%FT%TZ)" "${more[@]}" "$context" > "$work/log" 2>&1 || { tail -n 30 "$work/log"; exit 1; }
  echo "built in $((SECONDS - began)) s"
}

# digests TAG: of the program, then of the image.
digests() {
  local container
  container=$(buildah from "$1")
  (cd "$(buildah mount "$container")" && echo "$(sha256sum usr/bin/gatepost), $(stat -c %s usr/bin/gatepost) bytes")
  buildah rm "$container" > /dev/null
  echo "$(buildah inspect --type image --format '{{.FromImageDigest}}' "$1")  image"
}

first=localhost/gatepost:$architecture second=localhost/gatepost:$architecture-again
mkdir -p "$work/here" "$work/quite/another/place"
git archive "$commit" | tar -x -C "$work/here"
build "$first" "$work/here" /src
digests "$first" | tee "$work/first"

git archive "$commit" | tar -x -C "$work/quite/another/place"
find "$work/quite" -exec touch -h -d 2001-01-01 {} +
elsewhere() { unshare --uts sh -c 'hostname elsewhere; umask 027; exec env TZ=Asia/Tokyo "$@"' sh "$@"; }
build "$second" "$work/quite/another/place" /home/somebody/gatepost elsewhere
digests "$second" | tee "$work/second"
buildah rmi "$second" > /dev/null
diff "$work/first" "$work/second"
echo "built twice, byte for byte the same"
