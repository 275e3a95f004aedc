#!/usr/bin/env bash
# A saved XGBoost model forgets which number meant "missing", so the loaded one predicts something else.
#
# Guess: save_model() keeps what predictions depend on; the loaded model predicts what the saved one did.
# Seen:  XGBRegressor(missing=-999) is saved and loaded without a word; the loaded one has missing=nan, takes -999 as a
#        value, and predictions differ. Given missing=-999 again, they are equal. Pickle keeps it.
# With:  xgboost-cpu 3.2.0, scikit-learn 1.9.1, numpy 2.4.6
set -euo pipefail

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
python3 -m venv venv
venv/bin/python -m pip install --quiet --disable-pip-version-check xgboost-cpu==3.2.0 scikit-learn==1.9.1 numpy==2.4.6
venv/bin/python - <<'PY'
import pickle

import numpy as np
from xgboost import XGBRegressor

rng = np.random.default_rng(0)
X = rng.normal(size=(300, 4))
y = X[:, 0] * 3 + X[:, 1]
X[::3, 0] = -999.0
model = XGBRegressor(n_estimators=20, missing=-999.0, n_jobs=1).fit(X, y)
expected = model.predict(X)
for name in ("model.json", "model.ubj"):
    model.save_model(name)
    loaded, told = XGBRegressor(), XGBRegressor(missing=-999.0)
    loaded.load_model(name)
    told.load_model(name)
    other = np.mean(loaded.predict(X) != expected)
    print(f"{name}: missing={loaded.missing} after loading; {other:.0%} of the predictions differ")
    assert np.isnan(loaded.missing) and other > 0.1
    assert np.array_equal(told.predict(X), expected)
assert np.array_equal(pickle.loads(pickle.dumps(model)).predict(X), expected)
PY
