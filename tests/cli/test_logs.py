"""Logs never hold a secret."""

from __future__ import annotations

import json
import sys
from typing import Any

import pytest
import structlog

from tipline.cli.logs import MASK, configure, masked


def hidden(**event: Any) -> Any:
    return masked(None, "info", event)


def test_values_of_secret_keys_are_hidden() -> None:
    keys = ("secret", "client_secret", "token", "password", "Authorization", "api_key", "set-cookie")

    assert hidden(**dict.fromkeys(keys, "x")) == dict.fromkeys(keys, MASK)


def test_they_are_hidden_at_any_depth() -> None:
    assert hidden(request={"headers": [{"authorization": "Bearer abc"}]}) == {
        "request": {"headers": [{"authorization": MASK}]}
    }


def test_passwords_in_addresses_are_hidden() -> None:
    shown = hidden(url="fetching https://user:pass@feeds.example.org/list?x=1")

    assert shown == {"url": f"fetching https://{MASK}@feeds.example.org/list?x=1"}


def test_addresses_without_a_password_stay() -> None:
    assert hidden(url="https://feeds.example.org/a@b:c") == {"url": "https://feeds.example.org/a@b:c"}


def test_bearer_tokens_in_texts_are_hidden() -> None:
    assert hidden(message="sent Bearer eyJhbGciOi.abc.def") == {"message": f"sent Bearer {MASK}"}


def test_away_from_a_terminal_logs_are_json_on_standard_error(capsys: Any) -> None:
    before = structlog.get_config()
    try:
        configure()
        structlog.get_logger().warning("told", token="t0ken")
    finally:
        structlog.configure(**before)

    captured = capsys.readouterr()
    assert captured.out == ""
    assert json.loads(captured.err)["token"] == MASK
    assert json.loads(captured.err)["event"] == "told"


def test_on_a_terminal_an_exception_shows_no_variables(capsys: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    before = structlog.get_config()
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    secret = "-".join(["very", "secret"])
    try:
        configure()
        _fail(secret)
    except ValueError:
        structlog.get_logger().exception("it failed")
    finally:
        structlog.configure(**before)

    shown = capsys.readouterr().err
    assert "it failed" in shown
    assert "ValueError: no" in shown
    assert secret not in shown


def _fail(secret: str) -> None:
    raise ValueError("no" if secret else "yes")
