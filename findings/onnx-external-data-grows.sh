#!/usr/bin/env bash
# An ONNX model that is saved again to the same place keeps every earlier copy of its weights.
#
# Guess: saving replaces: the data file has the size of the weights, however often one saves.
# Seen:  the data file grows by the weights at each save (8,000, 16,000, 24,000 bytes); the model names the last part.
#        Without location= each save leaves one more file with a random name beside the model.
# With:  onnx 1.23.2, numpy 2.4.6
set -euo pipefail

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
python3 -m venv venv
venv/bin/python -m pip install --quiet --disable-pip-version-check onnx==1.23.2 numpy==2.4.6
venv/bin/python - <<'PY'
import pathlib

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper


def model():
    weights = numpy_helper.from_array(np.ones(2000, np.float32), "w")
    x, y = (helper.make_tensor_value_info(name, TensorProto.FLOAT, [2000]) for name in "xy")
    graph = helper.make_graph([helper.make_node("Add", ["x", "w"], ["y"])], "g", [x], [y], [weights])
    return helper.make_model(graph)


sizes = []
pathlib.Path("named").mkdir()
pathlib.Path("unnamed").mkdir()
for _ in range(3):
    onnx.save_model(model(), "named/m.onnx", save_as_external_data=True, location="m.data")
    onnx.save_model(model(), "unnamed/m.onnx", save_as_external_data=True)
    sizes.append(pathlib.Path("named/m.data").stat().st_size)
files = list(pathlib.Path("unnamed").glob("*.data"))
print(f"location given: the data file has {sizes} bytes; not given: {len(files)} data files")
assert np.array_equal(numpy_helper.to_array(onnx.load("named/m.onnx").graph.initializer[0]), np.ones(2000, np.float32))
assert sizes == [8000, 16000, 24000] and len(files) == 3
PY
