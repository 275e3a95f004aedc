#!/usr/bin/env bash
# A random forest that is loaded by joblib and saved again is another file each time.
#
# Guess: load() and dump() of an unchanged model give the bytes that were loaded, or at least the same bytes every time.
# Seen:  two processes that fit the same forest write the same file. Loaded and saved again its bytes differ, and differ
#        again from load to load: each tree node has unused bytes (57 of 64 are used), which joblib.load does not
#        restore.
# With:  scikit-learn 1.9.1, joblib 1.6.0, numpy 2.4.6
set -euo pipefail

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
python3 -m venv venv
venv/bin/python -m pip install --quiet --disable-pip-version-check scikit-learn==1.9.1 joblib==1.6.0 numpy==2.4.6
venv/bin/python - <<'PY'
import hashlib
import pathlib
import subprocess
import sys

fit = """
import joblib, numpy as np, sys
from sklearn.ensemble import RandomForestClassifier
X = np.random.default_rng(0).normal(size=(500, 8)); y = (X[:, 0] + X[:, 1] > 0).astype(int)
joblib.dump(RandomForestClassifier(50, random_state=0).fit(X, y), sys.argv[1])
"""
save_again = """
import joblib, sys
joblib.dump(joblib.load(sys.argv[1]), sys.argv[2])
"""


def run(program, *arguments):
    subprocess.run([sys.executable, "-c", program, *arguments], check=True)
    return hashlib.sha256(pathlib.Path(arguments[-1]).read_bytes()).hexdigest()[:12]


first, repeated = run(fit, "a.joblib"), run(fit, "b.joblib")
again = {run(save_again, "a.joblib", f"again{i}.joblib") for i in range(4)}
print(f"fitted twice: {first}, {repeated}; loaded and saved again: {sorted(again)}")
assert first == repeated and first not in again and len(again) > 1
PY
