#!/usr/bin/env bash
# monai.bundle run and a misspelt option.
#
# Expected: `--max_epoch 3`, where the configuration knows `max_epochs`, is refused, or at least named in a warning.
# Seen (monai 1.6.1, torch 2.13.0, fire 0.7.1, CPython 3.11): the run goes through with exit code 0 and the old value. The
# unknown name becomes a new entry of the configuration; nothing is said about it in the output.
# What follows: a bundle that wants to be told has to look at the names itself.
#
# Exits 0 while that is so, 1 when it is not any more.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
python3 -m venv env
env/bin/pip install --quiet "torch==2.13.0" "monai==1.6.1" "fire==0.7.1" "pyyaml==6.0.3"
cat > config.yaml <<'YAML'
max_epochs: 7
run: ["$print('epochs:', @max_epochs)"]
YAML
env/bin/python -c "import monai, torch; print('monai', monai.__version__, 'torch', torch.__version__)"
env/bin/python -m monai.bundle run run --config_file config.yaml --max_epoch 3 > output.txt 2>&1
code=$?
grep "epochs:" output.txt
echo "exit code $code; lines that warn of max_epoch: $(grep -iE "warn|unknown|unused|unrecogni" output.txt | grep -c "max_epoch\b" || true)"
grep -q "epochs: 7" output.txt && ! grep -iE "warn|unknown|unused|unrecogni" output.txt | grep -q "max_epoch\b"
