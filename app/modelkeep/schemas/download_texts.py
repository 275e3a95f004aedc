"""Downloads as text, for containers with a shell, curl and coreutils, but without a JSON parser."""

import shlex
from typing import Final

from modelkeep.domain.downloads import Download, SignedArtifact, SignedArtifacts
from modelkeep.domain.errors import DigestUnknownError

_IN_CHECK_FILES: Final = str.maketrans({"\\": r"\\", "\n": r"\n", "\r": r"\r"})
_IN_CURL_CONFIGS: Final = str.maketrans({"\\": r"\\", '"': r"\"", "\n": r"\n", "\r": r"\r"})


def curl_config(download: Download, located: SignedArtifacts) -> str:
    """A config for `curl --parallel -K -`, which writes every file below its working directory.

    Comments at its top say which commands of a shell make what curl does not.
    """
    options = "fail\ncreate-dirs\nretry = 5\n"
    return _left_to_do(download) + options + "".join(_transfer(each) for each in located.artifacts)


def check_file(download: Download, located: SignedArtifacts) -> str:
    """A file for `sha256sum --check`. Raises `DigestUnknownError` for an artifact without a digest."""
    return "".join(_check_line(_digest(download, each), _below(each)) for each in located.artifacts)


def shell_variables(download: Download) -> str:
    """Assignments for a shell's `eval`. A value may have line breaks, which readers of env files may not accept."""
    version = download.version
    variables = {
        "MODEL_NAME": version.model,
        "MODEL_VERSION": version.number,
        "MODEL_STAGE": version.stage,
        "MODEL_COMMIT": version.commit,
        "MODEL_GENERATION": download.generation,
        "MODEL_FRAMEWORK": version.framework,
        "MODEL_S3_PATH": version.s3_path,
    }
    return "".join(f"{name}={shlex.quote(str(value))}\n" for name, value in variables.items())


def _left_to_do(download: Download) -> str:
    version = download.version
    executable = [artifact.path for artifact in version.artifacts if artifact.executable]
    commands = {"mkdir -p": version.empty_folders, "chmod +x": executable}
    lines = [f"# {command} {shlex.quote(f'./{path}')}\n" for command, paths in commands.items() for path in paths]
    return "".join(
        ["# curl makes no empty folders and no file executable. When it has ended, run:\n", *lines] if lines else []
    )


def _transfer(located: SignedArtifact) -> str:
    headers = "".join(f"header = {_quoted(f'{name}: {value}')}\n" for name, value in located.url.headers.items())
    return f"url = {_quoted(located.url.url)}\noutput = {_quoted(_below(located))}\n{headers}"


def _below(located: SignedArtifact) -> str:
    """The path, so written that no tool takes it for an option or for standard input."""
    return f"./{located.artifact.path}"


def _digest(download: Download, located: SignedArtifact) -> str:
    digest = located.artifact.sha256
    if digest is None:
        raise DigestUnknownError(download.version.model, download.version.number, located.artifact.path)
    return digest.hex


def _check_line(digest: str, path: str) -> str:
    """A line of a check file. It begins with a backslash if its path is escaped, as adopted paths may have to be."""
    escaped = path.translate(_IN_CHECK_FILES)
    return f"{'' if escaped == path else chr(92)}{digest}  {escaped}\n"


def _quoted(text: str) -> str:
    """A value as curl reads it in a config (https://curl.se/docs/manpage.html#-K)."""
    return f'"{text.translate(_IN_CURL_CONFIGS)}"'
