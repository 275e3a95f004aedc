#!/usr/bin/env bash
# A linear classifier converted with the array it was fitted on is an ONNX model that the runtime refuses.
#
# Guess: to_onnx(model, X[:1]) with NumPy's usual float64 gives a model that computes in doubles, or is refused at once.
# Seen:  the conversion succeeds and onnx's checker accepts the model; onnxruntime refuses to load it, because the default
#        output (ZipMap) exists for floats only. With X.astype(float32), or with options={"zipmap": False}, it loads.
# With:  skl2onnx 1.20.0, onnx 1.23.2, onnxruntime 1.32.0, scikit-learn 1.9.1, numpy 2.4.6
set -euo pipefail

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
python3 -m venv venv
venv/bin/python -m pip install --quiet --disable-pip-version-check skl2onnx==1.20.0 onnx==1.23.2 onnxruntime==1.32.0 scikit-learn==1.9.1 numpy==2.4.6
venv/bin/python - <<'PY'
import numpy as np
import onnx
import onnxruntime
from skl2onnx import to_onnx
from sklearn.linear_model import LogisticRegression

X = np.random.default_rng(0).normal(size=(200, 4))
model = LogisticRegression().fit(X, (X[:, 0] > 0).astype(int))


def load(converted):
    onnx.checker.check_model(converted)
    return onnxruntime.InferenceSession(converted.SerializeToString(), providers=["CPUExecutionProvider"])


load(to_onnx(model, X[:1].astype(np.float32)))
load(to_onnx(model, X[:1], options={"zipmap": False}))
try:
    load(to_onnx(model, X[:1]))
except Exception as error:  # the class is the runtime's own
    print(f"float64: {type(error).__name__}: {error}")
    assert "ZipMap" in str(error)
else:
    raise SystemExit("it loads now")
PY
