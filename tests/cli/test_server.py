"""Commands while a server runs on the same data directory: it does the work, and they only ask."""

from __future__ import annotations

import json
import signal
import socket
import stat
import time
from pathlib import Path
from typing import Any

import httpx
import pytest


def test_commands_work_as_they_do_without_a_server(filled: Path, tipline_: Any, serving: Any) -> None:
    alone = {name: tipline_(*name.split(), "--json").json for name in ("list all", "lookup 5.6.7.8", "holds")}

    with serving("serve"):
        there = {name: tipline_(*name.split(), "--json").json for name in alone}
        assert tipline_("status", "--json").json["running"]
        assert tipline_("add", "9.9.9.40", "--json").json["added"] == 1
        assert tipline_("why", "9.9.9.40").code == 0
        assert tipline_("verify", "--json").json["equal"]
        assert tipline_("plan", "--json").json["changes"] is False
        assert tipline_("doctor", "--json").json["ok"]

    assert there == alone
    assert "9.9.9.40" in tipline_("list", "high").out.split()


def test_allow_reaches_served_lists_at_once(filled: Path, tipline_: Any, serving: Any) -> None:
    with serving("serve") as server:
        before = fetched(server["urls"][0] + "/feeds/high", "1.2.3.4", present=True)
        tipline_("allow", "1.2.3.4", "--reason", "ours")
        after = fetched(server["urls"][0] + "/feeds/high", "1.2.3.4", present=False)

    assert "1.2.3.4" in before
    assert "1.2.3.4" not in after


def test_errors_look_alike_whether_or_not_a_server_runs(filled: Path, tipline_: Any, serving: Any) -> None:
    alone = tipline_("list", "hig", "--json").out

    with serving("serve"):
        assert tipline_("list", "hig", "--json").out == alone


def test_a_running_server_needs_no_correct_configuration_to_be_asked(filled: Path, tipline_: Any, serving: Any) -> None:
    with serving("serve"):
        (filled / "tipline.yml").write_text("data: data\nsources: {feed: {kind: lins}}\n")

        assert tipline_("status").code == 0


def test_run_without_lists_is_reached_too(filled: Path, tipline_: Any, serving: Any) -> None:
    with serving("run") as server:
        assert tipline_("status", "--json").json["running"]
        assert httpx.get(server["urls"][0] + "/health", trust_env=False).status_code == 200
        assert httpx.get(server["urls"][0] + "/feeds/high", trust_env=False).status_code == 404


def test_a_changed_file_is_put_to_work_without_a_restart(filled: Path, tipline_: Any, serving: Any) -> None:
    file = filled / "tipline.yml"
    first = file.read_text()
    with serving("serve") as server:
        address = server["urls"][0] + "/feeds/second"
        assert httpx.get(address, trust_env=False).status_code == 404
        file.write_text(first + "\n  second: {kind: list, inputs: inbound}\n")
        before = tipline_("history", "--json").json["versions"][0]["version"]
        assert tipline_("reload", "--json").json["version"] == before + 1
        assert "1.2.3.4" in fetched(address, "1.2.3.4", present=True)

        assert "+  second:" in tipline_("history", str(before + 1)).out
        assert tipline_("revert", str(before), "-m", "not needed").code == 0
        assert (file.read_text(), httpx.get(address, trust_env=False).status_code) == (first, 404)


def test_a_hangup_reads_the_file_again_and_a_wrong_one_changes_nothing(
    filled: Path, tipline_: Any, serving: Any
) -> None:
    file = filled / "tipline.yml"
    first = file.read_text()
    with serving("serve") as server:
        address = server["urls"][0] + "/feeds/second"
        file.write_text("data: data\nsources: {feed: {kind: lins}}\n")
        server["process"].send_signal(signal.SIGHUP)
        assert tipline_("reload").code == 1
        assert tipline_("status", "--json").json["running"]
        file.write_text(first + "\n  second: {kind: list, inputs: inbound}\n")
        server["process"].send_signal(signal.SIGHUP)
        assert "1.2.3.4" in fetched(address, "1.2.3.4", present=True)


def test_a_second_server_on_one_directory_is_refused(filled: Path, tipline_: Any, serving: Any) -> None:
    with serving("serve"):
        answer = tipline_("serve", "--json")

    assert answer.code == 1
    assert answer.json["error"]["what"].startswith("another tipline")


def test_a_port_in_use_is_one_clear_line(filled: Path, tipline_: Any) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        answer = tipline_("serve", "--port", str(taken.getsockname()[1]))

    assert answer.code == 1
    assert answer.err.splitlines()[0].startswith("error: cannot listen: Address already in use")
    assert tipline_("status").code == 0


@pytest.mark.parametrize("sent", [signal.SIGTERM, signal.SIGINT], ids=lambda s: s.name)
def test_a_server_stops_cleanly(filled: Path, serving: Any, sent: signal.Signals) -> None:
    with serving("serve") as server:
        server["process"].send_signal(sent)
        assert server["process"].wait(30) == 0

    assert not (filled / "data" / "server.json").exists()


def test_the_token_is_for_its_user_alone(filled: Path, serving: Any) -> None:
    with serving("serve"):
        file = filled / "data" / "server.json"
        found = json.loads(file.read_text())

        assert stat.S_IMODE(file.stat().st_mode) == 0o600
        url = f"{found['url']}/api/v1/operations/status"
        assert httpx.post(url, json={}, trust_env=False).status_code == 401
        wrong = {"Authorization": "Bearer wrong"}
        assert httpx.post(url, json={}, headers=wrong, trust_env=False).status_code == 401
        right = {"Authorization": f"Bearer {found['token']}"}
        assert httpx.post(url, json={}, headers=right, trust_env=False).status_code == 200

    assert found["token"] not in (filled / "server.log").read_text()


def test_what_a_killed_server_left_behind_does_not_mislead(filled: Path, tipline_: Any, serving: Any) -> None:
    with serving("serve") as server:
        server["process"].kill()
        server["process"].wait(30)

    assert (filled / "data" / "server.json").exists()
    assert tipline_("status", "--json").json["running"] is False


def fetched(url: str, value: str, *, present: bool) -> str:
    """A list's text, once it does (or does not) hold a value: it is prepared in the background."""
    end = time.monotonic() + 30
    while True:
        text = httpx.get(url, trust_env=False).text
        if (value in text.split()) == present or time.monotonic() > end:
            return text
        time.sleep(0.1)
