"""Users, keys and secrets by the command line, with and without a server; HTTPS; the first token."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest

from tipline.sandbox.tls import prepare

PASSWORD = "four unrelated words: tripod lemon"
CONFIG = "http: {port: 0}\nsources: {a: {kind: local, tlp: clear}}\noutputs: {o: {kind: list, inputs: a}}\n"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "tipline.yml").write_text(CONFIG)
    (tmp_path / "password").write_text(PASSWORD + "\n")
    return tmp_path


def tipline(folder: Path, *words: str, given: str = "") -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "tipline", *words, "--json"]
    return subprocess.run(command, cwd=folder, input=given, capture_output=True, text=True, timeout=60, check=False)


def told(folder: Path, *words: str, given: str = "") -> Any:
    done = tipline(folder, *words, given=given)
    assert done.returncode == 0, done.stdout + done.stderr
    return json.loads(done.stdout)


@contextmanager
def serving(folder: Path, *words: str) -> Iterator[dict[str, Any]]:
    command = [sys.executable, "-m", "tipline", "serve", "--json", *words]
    with subprocess.Popen(command, cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as process:
        try:
            assert process.stdout is not None
            yield json.loads(process.stdout.readline())
        finally:
            os.kill(process.pid, signal.SIGTERM)


def test_from_the_first_token_to_a_key(folder: Path) -> None:
    with serving(folder) as server:
        assert len(server["setup_token"]) > 20
        made = told(folder, "user", "add", "ada", "--role", "admin", "--password-file", "password")
        assert made["role"] == "admin"
        key = told(folder, "key", "add", "ada", "--label", "mine", "--ttl", "1d")["key"]
        me = httpx.get(f"{server['urls'][0]}/api/v1/me", headers={"Authorization": key})
        assert me.json()["name"] == "ada"
        (listed,) = told(folder, "key", "list")["keys"]
        told(folder, "key", "remove", listed["id"])
        gone = httpx.get(f"{server['urls'][0]}/api/v1/me", headers={"Authorization": key})
        assert gone.status_code == 401
    with serving(folder) as server:
        assert "setup_token" not in server


def test_without_a_server(folder: Path) -> None:
    told(folder, "user", "add", "ada", "--role", "admin")
    told(folder, "user", "add", "bob", "--team", "default", "--tag", "edge", "--role", "reader")
    assert told(folder, "user", "change", "bob", "--disable")["disabled"]
    assert [each["name"] for each in told(folder, "user", "list")["users"]] == ["ada", "bob"]
    told(folder, "user", "remove", "bob")
    refused = tipline(folder, "user", "remove", "ada")
    assert refused.returncode == 1
    assert "only admin" in refused.stdout
    weak = tipline(folder, "user", "add", "eve", "--password-file", "-", given="password1\n")
    assert "refused" in weak.stdout
    assert "password1" not in weak.stdout + weak.stderr


def test_secrets_go_in_and_never_out(folder: Path) -> None:
    told(folder, "secret", "set", "token", given="s3cr3t-value\n")
    listed = tipline(folder, "secret", "list")
    assert "token" in listed.stdout
    assert "s3cr3t" not in listed.stdout
    told(folder, "secret", "remove", "token")
    assert told(folder, "secret", "list")["secrets"] == []


def test_https(folder: Path) -> None:
    files = prepare(folder)
    with serving(folder, "--tls-cert", str(files.certificate), "--tls-key", str(files.key)) as server:
        secure, local = server["urls"]
        assert secure.startswith("https://")
        assert local.startswith("http://127.")
        import ssl

        trusted = ssl.create_default_context(cafile=str(files.ca))
        assert httpx.get(f"{secure}/health", verify=trusted).status_code == 200
        assert told(folder, "status")["running"]
    wrong = tipline(folder, "serve", "--tls-cert", "password", "--tls-key", "password")
    assert "certificate cannot be used" in wrong.stdout
    half = tipline(folder, "serve", "--tls-cert", "password")
    assert "give both" in half.stdout
