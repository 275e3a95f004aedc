"""Which framework loads a version, by the names of its files."""

from collections.abc import Iterable
from pathlib import PurePosixPath
from typing import Final

from modelkeep.domain.models import DEFAULT_FRAMEWORK

UNKNOWN_FRAMEWORK: Final = "unknown"

_BY_NAME: Final = {
    "MLmodel": "mlflow",
    "model_index.json": "diffusers",
    "saved_model.pb": "tensorflow",
}
_BY_SUFFIX: Final = {
    ".onnx": "onnx",
    ".gguf": "gguf",
    ".keras": "tensorflow",
    ".h5": "tensorflow",
    ".tflite": "tensorflow",
    ".ubj": "xgboost",
    ".cbm": "catboost",
    ".mlmodel": "coreml",
    ".ckpt": "pytorch",
    ".pt": "pytorch",
    ".pth": "pytorch",
    ".pkl": "sklearn",
    ".joblib": "sklearn",
}
"""In the order in which they decide, as in `_BY_NAME`: what describes the whole before what holds a part."""

_ARCHIVES: Final = frozenset({".zip", ".tar", ".gz", ".tgz", ".bz2", ".xz", ".zst", ".7z"})
_TRANSFORMERS: Final = "transformers"
_WEIGHTS: Final = ".safetensors"
_CONFIG: Final = "config.json"


def infer_framework(paths: Iterable[str]) -> str:
    """The framework of a version of these files; that of the public recipe for one file that says nothing.

    Several files, or an archive, that say nothing are of an unknown one.
    """
    files = [PurePosixPath(path) for path in paths]
    names, suffixes = {file.name for file in files}, {file.suffix.lower() for file in files}
    for name, framework in _BY_NAME.items():
        if name in names:
            return framework
    if _WEIGHTS in suffixes and _CONFIG in names:
        return _TRANSFORMERS
    for suffix, framework in _BY_SUFFIX.items():
        if suffix in suffixes:
            return framework
    return DEFAULT_FRAMEWORK if len(files) == 1 and not suffixes & _ARCHIVES else UNKNOWN_FRAMEWORK
