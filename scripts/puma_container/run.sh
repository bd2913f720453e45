#!/usr/bin/env bash
# Runs the container as the platform does: read-only input, no network.   usage: run.sh IMAGE INPUT OUTPUT
set -euo pipefail
[ $# -eq 3 ] || { echo "usage: $0 IMAGE INPUT OUTPUT" >&2; exit 2; }
mkdir -p "$3"
docker run --rm --network none --read-only --tmpfs /tmp --volume "$(realpath "$2")":/input:ro \
  --volume "$(realpath "$3")":/output --user "$(id -u):$(id -g)" "$1"
coseg puma validate "$3"
