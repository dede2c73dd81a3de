"""Users, keys and secrets by the command line, with and without a server; HTTPS; the first token."""

from __future__ import annotations

import io
import ssl
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pytest

from cli.conftest import Command, Serving
from tipline.sandbox.tls import prepare

PASSWORD = "four unrelated words: tripod lemon"
Told = Callable[..., Any]


@pytest.fixture
def told(tipline_: Command) -> Told:
    """What a command says that must succeed."""

    def call(*words: str) -> Any:
        answer = tipline_(*words, "--json")
        assert answer.code == 0, answer.out + answer.err
        return answer.json

    return call


def test_from_the_first_token_to_a_key(place: Path, told: Told, serving: Serving) -> None:
    (place / "password").write_text(PASSWORD + "\n")
    with serving("serve") as server:
        assert len(server["setup_token"]) > 20
        made = told("user", "add", "ada", "--role", "admin", "--password-file", "password")
        assert made["role"] == "admin"
        key = told("key", "add", "ada", "--label", "mine", "--ttl", "1d")["key"]
        me = httpx.get(f"{server['urls'][0]}/api/v1/me", headers={"Authorization": key})
        assert me.json()["name"] == "ada"
        (listed,) = told("key", "list")["keys"]
        told("key", "remove", listed["id"])
        gone = httpx.get(f"{server['urls'][0]}/api/v1/me", headers={"Authorization": key})
        assert gone.status_code == 401
    with serving("serve") as server:
        assert "setup_token" not in server


def test_without_a_server(place: Path, told: Told, tipline_: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    told("user", "add", "ada", "--role", "admin")
    told("user", "add", "bob", "--team", "default", "--tag", "edge", "--role", "reader")
    assert told("user", "change", "bob", "--disable")["disabled"]
    assert [each["name"] for each in told("user", "list")["users"]] == ["ada", "bob"]
    told("user", "remove", "bob")
    refused = tipline_("user", "remove", "ada")
    assert refused.code == 1
    assert "only admin" in refused.err
    monkeypatch.setattr(sys, "stdin", io.StringIO("password1\n"))
    weak = tipline_("user", "add", "eve", "--password-file", "-")
    assert "refused" in weak.err
    assert "password1" not in weak.out + weak.err


def test_secrets_go_in_and_never_out(
    place: Path, told: Told, tipline_: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "stdin", io.StringIO("s3cr3t-value\n"))
    told("secret", "set", "token")
    listed = tipline_("secret", "list")
    assert "token" in listed.out
    assert "s3cr3t" not in listed.out + listed.err
    told("secret", "remove", "token")
    assert told("secret", "list")["secrets"] == []


def test_https(place: Path, told: Told, tipline_: Command, serving: Serving) -> None:
    files = prepare(place)
    with serving("serve", "--tls-cert", str(files.certificate), "--tls-key", str(files.key)) as server:
        secure, local = server["urls"]
        assert secure.startswith("https://")
        assert local.startswith("http://127.")
        trusted = ssl.create_default_context(cafile=str(files.ca))
        assert httpx.get(f"{secure}/health", verify=trusted).status_code == 200
        assert told("status")["running"]
    wrong = tipline_("serve", "--tls-cert", "feed.txt", "--tls-key", "feed.txt")
    assert "certificate cannot be used" in wrong.err
    half = tipline_("serve", "--tls-cert", "feed.txt")
    assert "give both" in half.err
