#!/usr/bin/env bash
# Saves of the same tensors and the same metadata differ, also within one process.
#
# Guess: the header is canonical: tensors are sorted, so metadata keys are too, or keep the order of the dict; if a hash
#        is behind it, PYTHONHASHSEED=0 makes it stable.
# Seen:  with one metadata key all saves are equal. With four, twenty saves give several different files of one size;
#        PYTHONHASHSEED=0 changes nothing: the order is drawn anew for each save.
# With:  safetensors 0.8.0, numpy 2.4.6
set -euo pipefail

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
python3 -m venv venv
venv/bin/python -m pip install --quiet --disable-pip-version-check safetensors==0.8.0 numpy==2.4.6
venv/bin/python - <<'PY'
import os
import subprocess
import sys

program = """
import numpy as np
from safetensors.numpy import save
tensors = {"w": np.zeros(4, np.float32)}
def files(metadata):
    return {save(tensors, metadata=metadata) for _ in range(20)}
one, four = files({"format": "np"}), files({"format": "np", "epoch": "3", "git": "abc", "loss": "0.1"})
print(len(one), len(four), len({len(file) for file in four}))
"""
for seed in ("random", "0"):
    environment = os.environ | {"PYTHONHASHSEED": seed}
    answer = subprocess.check_output([sys.executable, "-c", program], env=environment, text=True)
    one, four, sizes = map(int, answer.split())
    print(f"PYTHONHASHSEED={seed}: {one} file with one metadata key; {four} files, of {sizes} size, with four keys")
    assert one == 1 and four > 1 and sizes == 1
PY
