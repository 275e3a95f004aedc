"""A check of storage, by reading one byte with a signed URL. No sentence has more of the URL than its host."""

from contextlib import closing
from urllib.parse import urlsplit

from modelkeep.client.diagnosis.advice import advice_on
from modelkeep.client.diagnosis.checks import FaultError
from modelkeep.client.errors import TransferRefusedError
from modelkeep.client.presigned_transport import (
    AttemptFailedError,
    ObjectChangedError,
    PresignedTransport,
    RangeNotSupportedError,
    UrlRefusedError,
)
from modelkeep.kit.proxies import UnusableVariableError
from modelkeep.schemas.downloads import DownloadArtifactResponse


def read_a_byte(artifact: DownloadArtifactResponse) -> str:
    """Read the first byte of a file, and return a sentence on that. It blocks. Raises `FaultError`."""
    size = 2 if artifact.size is None else artifact.size
    host = f"storage at {_origin(artifact.url)}"
    with closing(PresignedTransport(connections=1)) as transport:
        try:
            for _ in transport.get(artifact.path, artifact, range(min(size, 1)), size, None):
                pass
        except RangeNotSupportedError:
            pass
        except UrlRefusedError as error:
            raise FaultError(
                "storage_refused",
                f"{_capitalized(host)} refuses a URL that the service has just signed: {error}. Have its operator look"
                " at the clock and the credentials of the service.",
            ) from error
        except AttemptFailedError as error:
            raise FaultError("storage_unreachable", _unreachable(host, error)) from error
        except (ObjectChangedError, TransferRefusedError) as error:
            raise FaultError(
                "storage_refused", f"{_capitalized(host)}: {error or 'the object is another one'}"
            ) from error
        except UnusableVariableError as error:
            raise FaultError("unusable_variable", str(error)) from error
    return f"{host} answers to a signed URL"


def _unreachable(host: str, error: AttemptFailedError) -> str:
    advice = advice_on(error) or "Try again; if it remains, ask the operator of the service."
    return (
        f"No answer from {host}: {error}. {advice} The service answers, so a firewall or a proxy must let this"
        " host through as well; of a service on a folder it is the one of its MODELKEEP_PUBLIC_URL."
    )


def _origin(url: str) -> str:
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}"


def _capitalized(text: str) -> str:
    return text[:1].upper() + text[1:]
