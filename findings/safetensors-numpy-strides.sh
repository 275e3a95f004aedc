#!/usr/bin/env bash
# safetensors.numpy writes other values when an array is not C-contiguous, and says nothing.
#
# Guess: a transposed, sliced or broadcast array is copied in order first (as numpy.save does), or refused (as
#        safetensors.torch refuses it).
# Seen:  save() and load() return without an error or a warning. Shape and dtype are right, the values are not: what
#        lies in memory from the array's first byte on is written, whatever the strides say.
# With:  safetensors 0.8.0, numpy 2.4.6
set -euo pipefail

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
python3 -m venv venv
venv/bin/python -m pip install --quiet --disable-pip-version-check safetensors==0.8.0 numpy==2.4.6
venv/bin/python - <<'PY'
import numpy as np
from safetensors.numpy import load, save

base = np.arange(12, dtype=np.float32).reshape(3, 4)
assert np.array_equal(load(save({"w": base}))["w"], base)
cases = {"transposed": base.T, "Fortran order": np.asfortranarray(base), "first two columns": base[:, :2]}
for name, array in cases.items():
    back = load(save({"w": array}))["w"]
    print(f"{name}: shape {back.shape}, equal: {np.array_equal(back, array)}; {back.tolist()} for {array.tolist()}")
    assert back.shape == array.shape
    assert not np.array_equal(back, array)
    assert np.array_equal(load(save({"w": np.ascontiguousarray(array)}))["w"], array)
PY
