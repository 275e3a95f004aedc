"""Files of versions: folders are listed, and a file leads to its bytes in storage."""

from collections.abc import Iterable
from typing import Final
from urllib.parse import parse_qs

from pydantic import BaseModel
from starlette.responses import RedirectResponse, Response

from modelkeep.domain.errors import ArtifactNotFoundError
from modelkeep.domain.models import Version
from modelkeep.domain.values import MAX_VERSION, Ref, RefKind, is_model_name
from modelkeep.faces.mlflow.errors import InvalidParameterError
from modelkeep.faces.mlflow.requests import MlflowRequest, answer

_SEGMENTS: Final = 3


class FileInfo(BaseModel):
    """A file or a folder; `path` is its name in the folder that was asked for."""

    path: str
    is_dir: bool
    file_size: int | None = None


async def list_folder(request: MlflowRequest) -> Response:
    """What is in a folder of a version; a file answers itself. An absent folder is empty."""
    given = parse_qs(request.scope["query_string"].decode("latin-1")).get("path", [""])[0]
    version, path = await _found(request, given)
    return answer(files=_children(version, path))


async def get_file(request: MlflowRequest) -> Response:
    """Redirect to the bytes of a file."""
    version, path = await _found(request, request.path)
    url = await request.services.downloads.sign(version, version.artifact(path))
    return RedirectResponse(url.url, 302)


async def _found(request: MlflowRequest, address: str) -> tuple[Version, str]:
    """A version and a path in it, of `NAME/VERSION[/PATH]`."""
    model, number, path = [*address.strip("/").split("/", 2), "", ""][:_SEGMENTS]
    is_number = number.isascii() and number.isdigit() and 1 <= int(number[:11]) <= MAX_VERSION
    if not is_model_name(model) or not is_number:
        raise InvalidParameterError("Artifacts are at NAME/VERSION, the version a number.")
    ref = Ref(RefKind.NUMBER, number, int(number))
    found = await request.services.downloads.find_version(model, ref, request.caller())
    return found.version, path


def _children(version: Version, path: str) -> list[FileInfo]:
    try:
        artifact = version.artifact(path)
    except ArtifactNotFoundError:
        inside = f"{path}/" if path else ""
        files = {each.path.removeprefix(inside): each for each in version.artifacts if each.path.startswith(inside)}
        empty = [f"{each.removeprefix(inside)}/" for each in version.empty_folders if each.startswith(inside)]
        folders = _first_segments([*files, *empty])
        return [
            *(FileInfo(path=name, is_dir=True) for name in folders),
            *(
                FileInfo(path=name, is_dir=False, file_size=each.size)
                for name, each in sorted(files.items())
                if "/" not in name
            ),
        ]
    return [FileInfo(path=path.rpartition("/")[2], is_dir=False, file_size=artifact.size)]


def _first_segments(paths: Iterable[str]) -> list[str]:
    return sorted({path.partition("/")[0] for path in paths if "/" in path})
