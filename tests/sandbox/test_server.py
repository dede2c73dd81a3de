"""The stand-in as a process: life, TLS, restarts, control addresses, switches."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import ssl
import stat
import subprocess
import sys
import threading

import httpx
import pytest

from tipline.errors import ConfigError, StoreError, TiplineError
from tipline.sandbox import Behaviour, PortalError, Sandbox, behaviours, serve
from tipline.sandbox.limits import Limits, Meter

DEFENDER_SCOPE = "https://api.securitycenter.microsoft.com/.default"


@contextlib.contextmanager
def signed_in(sandbox, caller_class):
    client = caller_class(sandbox)
    try:
        yield client.sign_in(DEFENDER_SCOPE)
    finally:
        client.http.close()


@pytest.fixture
def caller_class(caller):
    return type(caller())


def test_restart_keeps_state_ca_secret_tokens_and_port(tmp_path, caller_class):
    sandbox = Sandbox(tmp_path)
    with sandbox, signed_in(sandbox, caller_class) as client:
        ca, secret, url = sandbox.ca_file.read_bytes(), sandbox.client_secret, sandbox.url
        client.post(value="a.example.com")
        client.call("DELETE", "/api/indicators/1")
        client.post(value="b.example.com")
        headers = client.headers
    with sandbox, signed_in(sandbox, caller_class) as client:
        assert (sandbox.ca_file.read_bytes(), sandbox.client_secret, sandbox.url) == (ca, secret, url)
        client.headers = headers
        assert [each["id"] for each in client.listed()] == ["2"]
        assert client.post(value="c.example.com").json()["id"] == "3"
    with Sandbox(tmp_path) as other:
        assert len(other.defender_indicators()) == 2
    for name in ("ca.key", "server.key", "signing.key", "client-secret"):
        assert stat.S_IMODE((tmp_path / name).stat().st_mode) == 0o600


def test_server_certificate_is_made_again_when_its_ca_is_gone(tmp_path, caller_class):
    with Sandbox(tmp_path) as sandbox:
        before = sandbox.ca_file.read_bytes()
    (tmp_path / "ca.key").unlink()
    with Sandbox(tmp_path) as sandbox, signed_in(sandbox, caller_class) as client:
        assert client.listed() == []
        assert sandbox.ca_file.read_bytes() != before


def test_a_newer_state_is_refused(tmp_path):
    with Sandbox(tmp_path) as sandbox:
        sandbox.world.store.db.execute("PRAGMA user_version = 99")
    with pytest.raises(StoreError, match="newer"):
        Sandbox(tmp_path).start()


def test_listens_on_loopback_with_every_name_in_the_certificate(sandbox):
    context = ssl.create_default_context(cafile=sandbox.ca_file)
    context.verify_flags |= ssl.VERIFY_X509_STRICT
    for name in ("localhost", "127.0.0.1", "::1"):
        with (
            socket.create_connection(("127.0.0.1", sandbox.port)) as plain,
            context.wrap_socket(plain, server_hostname=name) as secured,
        ):
            assert secured.version() == "TLSv1.3"
    with pytest.raises(httpx.ConnectError):
        httpx.get(sandbox.url)


def test_without_tls(caller_class):
    with Sandbox(tls=False) as sandbox, signed_in(sandbox, caller_class) as client:
        assert sandbox.url.startswith("http://127.0.0.1:")
        assert client.post().status_code == 200


def test_life_errors(sandbox):
    with pytest.raises(TiplineError, match="runs already"):
        sandbox.start()
    with pytest.raises(TiplineError, match="cannot listen"):
        Sandbox(port=sandbox.port).start()
    with pytest.raises(TiplineError, match="does not run"):
        Sandbox().state()
    sandbox.stop()
    sandbox.stop()


def test_unknown_addresses_and_methods(caller):
    client = caller()
    assert client.http.get("/nowhere").status_code == 404
    answer = client.http.put("/api/indicators")
    assert (answer.status_code, answer.headers["Allow"]) == (405, "GET, POST")


def test_every_behaviour_is_labelled_and_guesses_can_be_switched(sandbox, caller):
    table = behaviours()
    assert {each["label"] for each in table} == {"documented", "observed", "guess"}
    assert all(each["source"] and each["text"] for each in table)
    assert len({each["name"] for each in table}) == len(table)
    for each in table:
        for option in each["options"]:
            sandbox.behaviour.change(**{each["name"]: option})
        assert len(each["options"]) != 1
    client = caller().http
    shown = client.post("/sandbox/behaviours", json={"md5": "accepted"}).json()["behaviours"]
    assert next(each["value"] for each in shown if each["name"] == "md5") == "accepted"
    assert client.get("/sandbox/behaviours").json()["limits"]["capacity"] == 15_000
    for bad in ({"md5": "maybe"}, {"nothing": 1}, {"row_delay_seconds": "x"}):
        assert client.post("/sandbox/behaviours", json=bad).status_code == 400
    with pytest.raises(ConfigError, match="md5"):
        Behaviour(md5="maybe")


def test_control_over_http(sandbox, defender):
    http = defender.http
    assert http.get("/").json()["ca_file"] == str(sandbox.ca_file)
    assert http.post("/sandbox/faults", json={"throttle_every": 1}).json()["plans"][0]["throttle_every"] == 1
    assert defender.post().status_code == 429
    assert http.delete("/sandbox/faults").json()["plans"] == []
    new = {"indicatorValue": "a.example.com", "indicatorType": "DomainName", "severity": "Low"}
    number = http.post("/sandbox/portal", json=new).json()["id"]
    assert http.patch(f"/sandbox/portal/{number}", json={"severity": "High"}).status_code == 200
    assert [each["severity"] for each in http.get("/sandbox/state?contents=1").json()["defender"]["indicators"]] == [
        "High"
    ]
    assert http.delete(f"/sandbox/portal/{number}").status_code == 204
    assert http.delete(f"/sandbox/portal/{number}").status_code == 400
    assert http.post("/sandbox/portal", json=new | {"indicatorType": "x"}).status_code == 400
    assert http.post("/sandbox/republish").json() == {"objects": 0}
    calls = http.get("/sandbox/state").json()["calls"]["defender.post"]
    assert (calls["total"], calls["refused"], calls["by_result"]) == (1, 1, {"429": 1})


def test_time_can_be_moved(sandbox, defender):
    sandbox.faults.set(token_seconds=60)
    defender.sign_in(DEFENDER_SCOPE)
    assert defender.http.post("/sandbox/advance", json={"seconds": 61}).status_code == 200
    assert defender.call("GET", "/api/indicators").status_code == 401
    assert defender.http.post("/sandbox/advance", json={}).status_code == 400


def test_portal_errors_are_explained(sandbox):
    with pytest.raises(PortalError, match="internal"):
        sandbox.portal_add("10.0.0.1", "IpAddress")
    with pytest.raises(PortalError, match="no indicator"):
        sandbox.portal_edit("7", title="x")


def test_tenants_are_apart(sandbox, caller):
    tenant = sandbox.add_tenant(name="other.example")
    app = sandbox.add_app("elsewhere", tenant_id=tenant, secret="x")
    client = caller()
    token = client.token(DEFENDER_SCOPE, app.client_id, "x", tenant="OTHER.example").json()["access_token"]
    client.headers = {"Authorization": f"Bearer {token}"}
    client.post()
    assert caller(DEFENDER_SCOPE).listed() == []
    assert len(client.listed()) == 1


def test_calls_from_many_threads_are_all_counted(sandbox, caller_class):
    sandbox.limits.enabled = False

    def work(name):
        with signed_in(sandbox, caller_class) as client:
            for n in range(20):
                assert client.post(value=f"{name}{n}.example.com").status_code == 200
                sandbox.query("SELECT count(*) FROM DefenderIndicators")

    threads = [threading.Thread(target=work, args=(f"t{n}-",)) for n in range(4)]
    for each in threads:
        each.start()
    for each in threads:
        each.join()
    assert sandbox.state()["defender"]["active"] == 80
    assert sorted(int(each["id"]) for each in sandbox.defender_indicators()) == list(range(1, 81))


def test_windows_are_sliding(clock):
    meter = Meter(Limits(windows={"x": ((2, 60),)}))
    assert meter.wait("app", "x", clock.now) is None
    clock.move(seconds=30)
    assert meter.wait("app", "x", clock.now) is None
    assert meter.wait("app", "x", clock.now) == 30
    clock.move(seconds=30)
    assert meter.wait("app", "x", clock.now) is None
    assert meter.wait("app", "x", clock.now) == 30
    meter.forget()
    assert meter.wait("app", "x", clock.now) is None


def test_serve_prints_where_it_is_and_stops_on_sigterm(tmp_path):
    program = "import sys; from pathlib import Path; from tipline.sandbox import serve; serve(Path(sys.argv[1]), 0)"
    with subprocess.Popen(
        [sys.executable, "-c", program, str(tmp_path)],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env=os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)},
    ) as process:
        try:
            shown = {}
            for line in process.stdout:
                name, _, value = line.strip().partition(" ")
                shown[name] = value.strip()
                if name == "client_secret_file":
                    break
            context = ssl.create_default_context(cafile=shown["ca_file"])
            with httpx.Client(verify=context) as client:
                assert client.get(f"{shown['login']}/sandbox/state").status_code == 200
        finally:
            process.send_signal(signal.SIGTERM)
        rest, _ = process.communicate(timeout=30)
    assert (process.returncode, rest) == (0, "")
    assert (tmp_path / "client-secret").read_text() not in str(shown)


def test_serve_restores_the_handlers():
    before = signal.getsignal(signal.SIGTERM)
    lines = []

    def say(line):
        lines.append(line)
        if line.startswith("client_secret_file"):
            os.kill(os.getpid(), signal.SIGTERM)

    serve(None, 0, say=say)
    assert signal.getsignal(signal.SIGTERM) is before
    assert any(line.startswith("workspace_id") for line in lines)
