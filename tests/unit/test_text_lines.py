"""Log lines for people: one line each, and nothing that a terminal would obey."""

import logging
from typing import Any

import pytest
import structlog

from modelkeep.telemetry.logging import configure
from modelkeep.telemetry.text_lines import text_line

TIME = "2026-01-31T12:00:00.123456Z"


def request(**fields: Any) -> dict[str, Any]:
    whole = {"event": "http_request", "method": "GET", "path": "/v1/models", "status": 200, "code": "", "time": TIME}
    return {**whole, "duration_ms": 3.4, "principal": None, "rule": "open", "decision": "allowed", **fields}


def test_a_request_says_what_was_asked_by_whom_and_how_it_ended() -> None:
    assert text_line(request())[8:] == " GET /v1/models: 200 in 3 ms"
    refused = request(status=404, code="model_not_found", principal="ci")
    assert text_line(refused)[8:] == " GET /v1/models: 404 model_not_found in 3 ms, by ci"


def test_what_a_request_holds_cannot_move_the_cursor_or_begin_a_line() -> None:
    line = text_line(request(path="/v1/\x1b[2J\n12:00:00 forged", principal="a\rb"))
    assert line.isprintable()


def test_an_event_has_its_level_its_detail_and_its_fields() -> None:
    warning = {"event": "data_folder_exposed", "level": "warning", "logger": "x", "time": TIME}
    assert text_line({**warning, "detail": "Run chmod."})[9:] == "warning: data folder exposed. Run chmod."
    assert text_line({**warning, "reason": "no"})[9:] == "warning: data_folder_exposed reason=no"
    assert text_line({**warning, "level": "info"})[9:] == "data_folder_exposed"


def test_a_stack_trace_follows_and_secrets_are_cut_out(capsys: pytest.CaptureFixture[str]) -> None:
    root = logging.getLogger()
    kept, level = root.handlers, root.level
    configure("INFO", "text")
    try:
        try:
            {"": ""}["Authorization: Bearer abcdefghijk\x1b[2J"]
        except KeyError:
            structlog.get_logger("test").exception("unhandled_exception")
    finally:
        root.handlers = kept
        root.setLevel(level)
    said = capsys.readouterr().err
    assert "error: unhandled_exception\nTraceback" in said
    assert "KeyError" in said
    assert "abcdefghijk" not in said
    assert "\x1b" not in said
