#!/usr/bin/env bash
# monai.bundle run, a bundle with a package of its own, and `initialize`.
#
# Expected: MONAI finds the package that lies in a bundle's folder (it adds the folder to Python's path), whatever else the
# configuration evaluates before.
# Seen (monai 1.6.1, torch 2.13.0, fire 0.7.1, CPython 3.11), run from another folder: with an empty `initialize` the package is
# found. With one expression in it, even one that needs nothing of the package (it prints), `run` fails: "No module named". The folder
# is added when `run` starts; the expression before it has already made all imports of the configuration, and their failures
# are kept.
# What follows: a bundle that is to run from where it was downloaded leaves `initialize` empty and prepares at the start of `run`.
#
# Exits 0 while that is so, 1 when it is not any more.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
python3 -m venv env
env/bin/pip install --quiet "torch==2.13.0" "monai==1.6.1" "fire==0.7.1" "pyyaml==6.0.3"
mkdir -p bundle/configs bundle/stains elsewhere
echo 'def name(): return "eosin"' > bundle/stains/__init__.py
config() {
  cat > "bundle/configs/$1.yaml" <<YAML
imports: ["\$from stains import name"]
initialize: $2
run: ["\$print('stain:', name())"]
YAML
}
config empty '[]'
config greets "[\"\$print('hello')\"]"
env/bin/python -c "import monai, torch; print('monai', monai.__version__, 'torch', torch.__version__)"
cd elsewhere
found() {
  local code=0
  ../env/bin/python -m monai.bundle run run --config_file "../bundle/configs/$1.yaml" > "$1.txt" 2>&1 || code=$?
  echo "initialize $1: exit code $code; $(grep -E "^stain:|^hello|^ModuleNotFoundError" "$1.txt" | sort -u | tr '\n' ';')"
  return "$code"
}
first=0; second=0
found empty || first=$?
found greets || second=$?
[ "$first" = 0 ] && [ "$second" != 0 ] && grep -q "No module named 'stains'" greets.txt
