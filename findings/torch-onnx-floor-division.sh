#!/usr/bin/env bash
# torch.onnx.export and a floor division of a size that is negative: -(-n // 4), the usual way to round up.
#
# Expected: the exported graph gives what PyTorch gives: ceil(n / 4), at every size n that is declared dynamic.
# Seen (torch 2.13.0, onnx 1.23.2, onnxscript 0.7.2, onnxruntime 1.32.0, CPython 3.11): for 9, 10 and 11 the graph gives 2
# and PyTorch 3, without an error or a warning, from both exporters (dynamo=True and False): the integer division of the
# graph cuts towards zero, Python's goes down. At multiples of 4, such as a size to try it with, both agree.
# What follows: code to be exported rounds up as (n + 3) // 4, where nothing is negative; that is right in both.
#
# Exits 0 while that is so, 1 when it is not any more.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
python3 -m venv env
env/bin/pip install --quiet "torch==2.13.0" "onnx==1.23.2" "onnxscript==0.7.2" "onnxruntime==1.32.0" "numpy==2.3.5"
cat > try.py <<'PY'
import numpy as np
import onnx
import onnxruntime
import onnxscript
import torch

print(*(f"{m.__name__} {m.__version__}" for m in (torch, onnx, onnxscript, onnxruntime)))
SIZES = (8, 9, 10, 11, 12)


class Negative(torch.nn.Module):
    def forward(self, x):
        return x.new_zeros(-(-x.shape[0] // 4))


class Positive(torch.nn.Module):
    def forward(self, x):
        return x.new_zeros((x.shape[0] + 3) // 4)


def lengths(network, dynamo):
    dynamic = {"dynamic_shapes": ({0: torch.export.Dim("n", min=2, max=100)},)} if dynamo else {"dynamic_axes": {"x": {0: "n"}}}
    torch.onnx.export(network, (torch.zeros(10),), "a.onnx", input_names=["x"], dynamo=dynamo, verbose=False, **dynamic)
    session = onnxruntime.InferenceSession("a.onnx")
    return [len(session.run(None, {"x": np.zeros(n, np.float32)})[0]) for n in SIZES]


right = [len(Negative()(torch.zeros(n))) for n in SIZES]
seen = {(kind.__name__, dynamo): lengths(kind(), dynamo) for kind in (Negative, Positive) for dynamo in (True, False)}
print("sizes", SIZES, "PyTorch:", right)
for (name, dynamo), values in seen.items():
    print(f"{name}, dynamo={dynamo}:", values)
good = all(values == ([2, 2, 2, 2, 3] if name == "Negative" else right) for (name, _), values in seen.items())
raise SystemExit(0 if good and right == [2, 3, 3, 3, 3] else 1)
PY
env/bin/python -W ignore try.py
