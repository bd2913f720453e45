#!/usr/bin/env bash
# Ray, a cluster of `ray start --head` and who joins it, before and after some program ran Ray on this machine alone.
#
# Expected: what one program did with a cluster of its own, `ray.init()`, that has ended, changes nothing for others:
# `ray start --head` starts a cluster, and `ray.init(address=...)` on the same machine, as the same user, joins it.
# Seen (ray 2.60.0, CPython 3.11): it joins as long as nobody ran Ray there. `ray.init()` alone leaves ~/.ray/auth_token.
# From then on `ray start --head` asks for that token, while `ray.init(address=...)` does not send it and is refused, after
# half a minute, as not able to connect; `ray start --address=...`, the line that the head prints for other nodes, ends in
# AuthenticationError. With RAY_AUTH_MODE=token in both places it joins.
# What follows: a job's script sets RAY_AUTH_MODE itself, and calls `ray get-auth-token --generate` once before.
#
# Exits 0 while that is so, 1 when it is not any more.
set -euo pipefail
work=$(mktemp -d)
head=
trap 'kill $head 2>/dev/null || true; sleep 2; rm -rf "$work"' EXIT
cd "$work"
python3 -m venv env
env/bin/pip install --quiet "ray==2.60.0"
export HOME=$work RAY_USAGE_STATS_ENABLED=0
unset RAY_AUTH_MODE RAY_AUTH_TOKEN RAY_AUTH_TOKEN_PATH
port=$(python3 -c 'import socket; s = socket.socket(); s.bind(("", 0)); print(s.getsockname()[1])')
cat > join.py <<'PY'
import logging
import sys

import ray

try:
    ray.init(address=sys.argv[1], logging_level=logging.ERROR)
    print("joined")
except Exception as error:
    print("refused:", " ".join(str(error).split())[:150])
PY

start() {  # a cluster of its own kind; $head is its process
  env "$@" env/bin/ray start --head --port="$port" --num-cpus=1 --include-dashboard=false --temp-dir="$work/ray" --block > head.log 2>&1 &
  head=$!
  for _ in $(seq 120); do
    grep -q "Ray runtime started" head.log && return
    sleep 1
  done
  cat head.log
  exit 1
}

try() {  # NAME, then NAME=VALUE for the environment
  local name=$1
  shift
  start "$@"
  answer=$(env "$@" env/bin/python join.py "127.0.0.1:$port" 2> /dev/null)
  printf '%-44s %s\n' "$name" "$answer"
  seen+=("${answer%%:*}")
  kill $head
  wait $head 2> /dev/null || true
}

env/bin/python -c 'import ray, sys; print("ray", ray.__version__, "Python", sys.version.split()[0])'
seen=()
try "nobody ran Ray here" A=
env/bin/python -c 'import ray; ray.init(num_cpus=1, include_dashboard=False); ray.shutdown()' > /dev/null 2>&1
ls .ray
try "after ray.init() of some program" A=
try "the same, RAY_AUTH_MODE=token" RAY_AUTH_MODE=token
[ "${seen[*]}" = "joined refused joined" ]
