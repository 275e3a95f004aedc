"""Log lines for a person at a terminal; the fields that only programs read are left out."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any, Final

from modelkeep.kit.text import escaped, one_line

_SHOWN_ELSEWHERE: Final = frozenset({"event", "level", "logger", "time", "exception", "detail"})


def text_line(line: Mapping[str, Any]) -> str:
    """A line of the log; of a request, what was asked, by which principal, and how it ended."""
    when = f"{datetime.fromisoformat(str(line['time'])).astimezone():%H:%M:%S}"
    if line.get("event") == "http_request":
        return f"{when} {_request(line)}"
    level = "" if line.get("level") in {"info", "debug"} else f"{line.get('level')}: "
    event = str(line.get("event")).replace("_", " ") if line.get("detail") else str(line.get("event"))
    fields = " ".join(f"{name}={value}" for name, value in line.items() if name not in _SHOWN_ELSEWHERE)
    said = ". ".join(filter(None, [event, str(line.get("detail") or "")]))
    text = one_line(f"{level}{said} {fields}")
    return "\n".join([f"{when} {text}", *map(escaped, str(line.get("exception") or "").splitlines())])


def _request(line: Mapping[str, Any]) -> str:
    problem = f" {line['code']}" if line.get("code") else ""
    by = f", by {line['principal']}" if line.get("principal") else ""
    asked = f"{line['method']} {line['path']}: {line['status']}{problem}"
    return one_line(f"{asked} in {float(line['duration_ms']):.0f} ms{by}")
