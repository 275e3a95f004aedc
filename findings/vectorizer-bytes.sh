#!/usr/bin/env bash
# A text vectorizer of scikit-learn never gives the same file twice, also with a fixed hash seed.
#
# Guess: the same documents, seed and releases give the same file, as they do for scikit-learn's numeric models.
# Seen:  processes write different files: the fitted vectorizer carries _stop_words_id, the memory address of None.
#        Without that attribute the files are equal. PYTHONHASHSEED=0 does nothing; a scaler gives one file.
# With:  scikit-learn 1.9.1, joblib 1.6.0, numpy 2.4.6
set -euo pipefail

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
python3 -m venv venv
venv/bin/python -m pip install --quiet --disable-pip-version-check scikit-learn==1.9.1 joblib==1.6.0 numpy==2.4.6
venv/bin/python - <<'PY'
import os
import subprocess
import sys

program = """
import hashlib, io, joblib
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.preprocessing import StandardScaler
def digest(model):
    file = io.BytesIO(); joblib.dump(model, file); return hashlib.sha256(file.getvalue()).hexdigest()[:12]
text = TfidfVectorizer().fit(["one model", "one version"])
address = text._stop_words_id == id(None)
before = digest(text); del text._stop_words_id
print(before, digest(text), digest(StandardScaler().fit([[1.0], [2.0]])), address)
"""
environment = os.environ | {"PYTHONHASHSEED": "0"}
runs = [subprocess.check_output([sys.executable, "-c", program], env=environment, text=True).split() for _ in range(4)]
fitted, without, scaler, is_address = (set(column) for column in zip(*runs))
print(f"4 processes: {len(fitted)} files of the vectorizer, {len(without)} without the address, {len(scaler)} of a scaler")
assert len(fitted) > 1 and len(without) == 1 and len(scaler) == 1 and is_address == {"True"}
PY
