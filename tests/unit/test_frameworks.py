"""The framework of a version, by the names of its files alone."""

import pytest

from modelkeep.domain.frameworks import infer_framework


@pytest.mark.parametrize(
    ("paths", "framework"),
    [
        ("model.pt", "pytorch"),
        ("epoch=1.ckpt", "pytorch"),
        ("weights.PTH", "pytorch"),
        ("model", "pytorch"),
        ("weights.bin", "pytorch"),
        ("model.onnx", "onnx"),
        ("model.onnx weights.data", "onnx"),
        ("model.safetensors", "pytorch"),
        ("model.safetensors config.json", "transformers"),
        ("a/model-00001.safetensors a/config.json a/model.onnx", "transformers"),
        ("saved_model.pb variables/variables.index", "tensorflow"),
        ("model.keras", "tensorflow"),
        ("model.h5", "tensorflow"),
        ("llama.gguf", "gguf"),
        ("model.pkl", "sklearn"),
        ("model.joblib scaler.joblib", "sklearn"),
        ("model.ubj", "xgboost"),
        ("MLmodel model.pkl conda.yaml", "mlflow"),
        ("config.json tokenizer.json", "unknown"),
        ("a.bin b.bin", "unknown"),
        ("run-7.zip", "unknown"),
    ],
)
def test_a_framework_is_inferred_from_names(paths: str, framework: str) -> None:
    assert infer_framework(paths.split()) == framework
