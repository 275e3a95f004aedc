#!/usr/bin/env bash
# safetensors.numpy writes bfloat16 and float8 arrays that its own load() cannot read.
#
# Guess: what save() accepts, load() of the same module and release returns.
# Seen:  save() writes BF16 and F8_E4M3 (the dtypes come from ml_dtypes); load() raises KeyError: 'BF16'. The file is
#        right: read by hand with ml_dtypes, its bytes are the values.
# With:  safetensors 0.8.0, numpy 2.4.6, ml_dtypes 0.6.0
set -euo pipefail

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
python3 -m venv venv
venv/bin/python -m pip install --quiet --disable-pip-version-check safetensors==0.8.0 numpy==2.4.6 ml_dtypes==0.6.0
venv/bin/python - <<'PY'
import json

import ml_dtypes
import numpy as np
from safetensors.numpy import load, save

for dtype, name in ((ml_dtypes.bfloat16, "BF16"), (ml_dtypes.float8_e4m3fn, "F8_E4M3")):
    array = np.array([0.5, 1.0, 2.0], dtype=dtype)
    written = save({"w": array})
    start = 8 + int.from_bytes(written[:8], "little")
    assert json.loads(written[8:start])["w"]["dtype"] == name
    assert np.array_equal(np.frombuffer(written[start : start + array.nbytes], dtype=dtype), array)
    try:
        load(written)
    except KeyError as error:
        print(f"{name}: written, and its bytes are right; load() raises KeyError: {error}")
    else:
        raise SystemExit(f"{name} can be read now")
PY
