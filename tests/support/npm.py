"""Packages of npm, installed once into a cache that git ignores."""

import shutil
import subprocess
import tempfile
from contextlib import suppress
from pathlib import Path

import pytest

from tests.support.servers import CACHE


def installed(*packages: str) -> Path:
    """A folder with these packages in its `node_modules`, installed as a whole or not at all; skips without npm."""
    if shutil.which("npm") is None:
        pytest.skip("npm is not here")
    target = CACHE / "npm" / "+".join(packages).replace("/", "-")
    if not target.is_dir():
        target.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=target.parent) as temporary:
            folder = Path(temporary) / "installed"
            folder.mkdir()
            command = ["npm", "install", "--silent", "--no-audit", "--no-fund", "--prefix", str(folder), *packages]
            subprocess.run(command, check=True, cwd=folder, capture_output=True, timeout=110)
            with suppress(OSError):
                folder.rename(target)
    return target


def script(folder: Path, source: str) -> list[str]:
    """A command: a module of JavaScript with the packages of a folder."""
    file = folder / f"{abs(hash(source))}.mjs"
    file.write_text(source)
    return ["node", str(file)]
