#!/usr/bin/env bash
# joblib stores an array that an object names twice two times, and load() returns two arrays.
#
# Guess: as with pickle, what was one array before is one array afterwards (tied weights stay tied), stored once.
# Seen:  pickle keeps the identity and stores 8 MB. joblib stores 16 MB, and changing one of the loaded arrays no longer
#        changes the other.
# With:  joblib 1.6.0, numpy 2.4.6
set -euo pipefail

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
python3 -m venv venv
venv/bin/python -m pip install --quiet --disable-pip-version-check joblib==1.6.0 numpy==2.4.6
venv/bin/python - <<'PY'
import os
import pickle

import joblib
import numpy as np

weights = np.zeros(1_000_000)
tied = {"encoder": weights, "decoder": weights}
joblib.dump(tied, "model.joblib")
pickled = pickle.dumps(tied, protocol=5)
by_joblib, by_pickle = joblib.load("model.joblib"), pickle.loads(pickled)
size = os.path.getsize("model.joblib")
print(f"pickle: {len(pickled)} bytes, still one array: {by_pickle['encoder'] is by_pickle['decoder']}")
print(f"joblib: {size} bytes, still one array: {by_joblib['encoder'] is by_joblib['decoder']}")
assert by_pickle["encoder"] is by_pickle["decoder"] and len(pickled) < 8_100_000
assert by_joblib["encoder"] is not by_joblib["decoder"] and size > 16_000_000
by_joblib["encoder"][0] = 1
assert by_joblib["decoder"][0] == 0
PY
