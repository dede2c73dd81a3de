"""Syslog to a real rsyslog, over UDP, TCP and TLS; CEF and LEEF read back as their specifications say."""

from __future__ import annotations

import json
import re
import socket
import threading
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from outputs.delivering import bench
from outputs.rsyslog import Rsyslog
from sources.test_fetch_tls import certificate, pem
from tipline.outputs.delivery import Refused, Row
from tipline.outputs.events import Event, told
from tipline.outputs.syslog import Syslog, SyslogSettings
from tipline.outputs.syslog_formats import Origin, as_json, cef, leef

NOW = datetime.fromisoformat("2026-03-04T05:06:07")
NASTY = {
    "value": "http://bad.com/a|b?x=1\\2&y=z=3", "type": "url", "tlp": 3, "confidence": 87,
    "description": "line one\nline=two | \\ three\r\nfour\x1b[31m\u2028", "tags": ["a=b", "c|d", "^~!"],
}  # fmt: skip


def read_cef(text: str) -> tuple[list[str], dict[str, str]]:
    """Header and extension, by the CEF specification."""
    parts = re.split(r"(?<!\\)((?:\\\\)*)\|", text, maxsplit=7)
    heads = [parts[i] + (parts[i + 1] if i + 1 < len(parts) else "") for i in range(0, 14, 2)]
    found: dict[str, str] = {}
    for match in re.finditer(r"([\w.]+)=((?:\\.|[^\\=])*?)(?= [\w.]+=|$)", parts[14], re.DOTALL):
        found[match[1]] = re.sub(r"\\(.)", lambda m: {"n": "\n", "r": "\r"}.get(m[1], m[1]), match[2])
    return [re.sub(r"\\(.)", r"\1", head) for head in heads], found


def read_leef(text: str) -> tuple[list[str], dict[str, str]]:
    """Header and attributes, by the LEEF 2.0 specification."""
    *heads, rest = text.split("|", 6)
    delimiter = "\t" if heads[5] == "x09" else heads[5]
    return heads, dict(pair.split("=", 1) for pair in rest.split(delimiter))


def event(**values: Any) -> Event:
    row = {"key": "0" * 32, "type": "ipv4", "value": "8.8.8.8", "sources": ["feed"], **values}
    return told(Row(**row), None)[0]


def origin(**fields: str) -> Origin:
    return Origin("site|1", "out", fields)


@pytest.fixture(scope="module")
def tls(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("tls")
    authority = certificate("Test CA", ca=True)
    files = {name: pem(folder / f"{name}.pem", certificate(name, authority)) for name in ("loopback", "client")}
    return {"ca": pem(folder / "ca.pem", authority), "cert": files["loopback"], "key": files["loopback"],
            "client": files["client"]}  # fmt: skip


@pytest.fixture(params=["udp", "tcp", "tls"])
def server(request: pytest.FixtureRequest, tmp_path: Path, tls: dict[str, Path]) -> Iterator[Rsyslog]:
    with Rsyslog(tmp_path, request.param, tls if request.param == "tls" else None) as running:
        yield running


def reach(server: Rsyslog) -> dict[str, Any]:
    found: dict[str, Any] = {"host": "127.0.0.1", "port": server.port, "transport": server.transport, "rate": 100_000}
    if server.tls:
        found |= {"ca_file": str(server.tls["ca"]), "client_cert": str(server.tls["client"])}
    return found


@pytest.mark.parametrize("framing", ["octet-counting", "newline"])
@pytest.mark.parametrize("header", ["rfc5424", "rfc3164"])
def test_cef_through_rsyslog(server: Rsyslog, header: str, framing: str) -> None:
    with bench(Syslog, **reach(server), header=header, framing=framing, facility="local3") as lab:
        lab.publish([NASTY, "bad.com"])
        assert lab.deliverer.cycle().accepted == 2
        lab.publish([{**NASTY, "confidence": 10}])
        lab.deliverer.cycle()
        receipt = lab.receipts()[NASTY["value"]]
        assert (receipt.state, receipt.holds) == ("accepted", "perhaps")
    got = server.messages(4)
    assert len(got) == 4
    assert {(m["syslogfacility"], m["syslogseverity"], m["hostname"]) for m in got} == {("19", "6", "test")}
    texts = [m["msg"].lstrip() if header == "rfc5424" else m["syslogtag"] + m["msg"] for m in got]
    read = [read_cef(text) for text in texts]
    heads, first = next(each for each in read if each[1]["cs1"] == NASTY["value"])
    assert heads[:3] == ["CEF:0", "tipline", "tipline"]
    assert heads[4:] == ["indicator-add", "Indicator added", "9"]
    assert first["request"] == NASTY["value"]
    assert (first["cs5"], first["cn1"], first["cs4"]) == ("amber+strict", "87", "^~!, a=b, c|d")
    assert first["msg"] == "line one\nline=two | \\ three\nfour [31m"
    assert sorted(extension["act"] for _, extension in read) == ["add", "add", "change", "remove"]
    removed = next(extension for _, extension in read if extension["act"] == "remove")
    assert (removed["cs1"], removed["dhost"], removed["reason"]) == ("bad.com", "bad.com", "no longer listed")
    if header == "rfc5424":
        assert {(m["app-name"], m["msgid"]) for m in got} == {("tipline", "add"), ("tipline", "change"),
                                                              ("tipline", "remove")}  # fmt: skip


@pytest.mark.parametrize("server", ["tcp"], indirect=True)
@pytest.mark.parametrize("form", ["leef", "json"])
def test_leef_and_json_through_rsyslog(server: Rsyslog, form: str) -> None:
    with bench(Syslog, **reach(server), format=form) as lab:
        lab.publish([NASTY])
        lab.deliverer.cycle()
    text = server.messages(1)[0]["msg"].lstrip()
    if form == "leef":
        heads, found = read_leef(text)
        assert heads[0] == "LEEF:2.0"
        assert (found["indicator"], found["url"], found["sev"]) == (NASTY["value"], NASTY["value"], "9")
    else:
        found = json.loads(text)
        assert (found["value"], found["description"]) == (NASTY["value"], NASTY["description"])


def test_which_key_an_indicator_has_in_cef() -> None:
    cases = [
        ({"direction": "inbound"}, {"src": "8.8.8.8"}),
        ({}, {"dst": "8.8.8.8"}),
        ({"value": "8.8.8.0/24"}, {}),
        ({"type": "ipv6", "value": "2001:db8::1"}, {"c6a3": "2001:db8::1", "c6a3Label": "Destination IPv6 Address"}),
        ({"type": "sha256", "value": "a" * 64}, {"fileHash": "a" * 64}),
        ({"type": "url", "value": "http://x.com/" + "a" * 1100}, {}),
    ]
    for values, wanted in cases:
        _, found = read_cef(cef(event(**values), origin(), NOW))
        names = {"src", "dst", "c6a2", "c6a3", "c6a3Label", "request", "fileHash", "dhost"}
        assert {name: text for name, text in found.items() if name in names} == wanted
        assert found["cs1"] == values.get("value", "8.8.8.8")


def test_a_header_field_is_escaped_as_a_header() -> None:
    heads, found = read_cef(cef(event(), origin(cs2="{instance} = {value}", msg=""), NOW))
    assert len(heads) == 7
    assert (found["cs2"], found["deviceExternalId"]) == ("site|1 = 8.8.8.8", "site|1/out")
    assert found["rt"] == "1772600767000"


def test_leef_takes_a_delimiter_that_no_value_has() -> None:
    marks = {}
    for text in ("plain", "a^b", "a^b~c", "a^b~c!d", "a^b~c!d¦e"):
        heads, found = read_leef(leef(event(description=text + "\tx"), origin(), NOW))
        marks[text] = heads[5]
        assert found["description"] == text + " x"
        assert found["dst"] == "8.8.8.8"
    assert list(marks.values()) == ["^", "~", "!", "¦", "x09"]


def test_own_keys_in_json() -> None:
    found = json.loads(as_json(event(), origin(source="tip:{type}", key=""), NOW))
    assert found["source"] == "tip:ipv4"
    assert "key" not in found


def test_what_is_too_long_is_shortened_or_refused() -> None:
    with bench(Syslog, host="127.0.0.1", max_message=600) as lab:
        far, now = lab.deliverer.far, lab.now()
        row = Row(key="0" * 32, type="domain", value="bad.com", description="x" * 5000, tags=["t" * 500])
        packed = far.pack(row, None, now)
        assert not isinstance(packed, Refused)
        assert len(packed.payload) <= 600
        assert b"bad.com" in packed.payload
        wide = far.pack(Row(key="0" * 32, type="url", value="http://bad.com/" + "x" * 4000), None, now)
        assert isinstance(wide, Refused)
        assert wide.reason.startswith("message-too-long: ")


@pytest.mark.parametrize("server", ["tcp", "tls"], indirect=True)
def test_a_server_that_restarts_gets_the_rest(server: Rsyslog) -> None:
    with bench(Syslog, **reach(server)) as lab:
        lab.publish(["bad.com"])
        lab.deliverer.cycle()
        server.messages(1)
        server.stop()
        lab.publish(["bad.com", "worse.com"])
        report = lab.deliverer.cycle()
        assert report.state == "failing"
        assert "is it up" in report.message
        server.start()
        assert lab.deliverer.cycle().accepted == 1
    values = [read_cef(m["msg"].lstrip())[1]["cs1"] for m in server.messages(2)]
    assert values == ["bad.com", "worse.com"]


def test_a_connection_that_breaks_in_a_batch_sends_all_of_it_again() -> None:
    """The first connection is reset after some bytes; whatever had been read comes again, under the same number."""
    got: list[bytes] = []

    def serve(listener: socket.socket) -> None:
        first, _ = listener.accept()
        got.append(first.recv(100))
        first.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
        first.close()
        second, _ = listener.accept()
        with second:
            while block := second.recv(65536):
                got.append(block)

    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=serve, args=(listener,))
        thread.start()
        values = [f"host-{number}.bad.com" for number in range(400)]
        with bench(Syslog, host="127.0.0.1", port=listener.getsockname()[1], framing="newline", rate=10**6) as lab:
            lab.publish(values)
            for _ in range(3):
                if lab.deliverer.cycle().state == "ok":
                    break
            assert {receipt.state for receipt in lab.receipts().values()} == {"accepted"}
        thread.join(20)
    lines = b"".join(got[1:]).decode().splitlines()
    found = [read_cef(line[line.index("CEF:0") :])[1] for line in lines]
    assert {each["cs1"] for each in found} == set(values)
    assert len({each["externalId"] for each in found}) == len(values)


def test_told_again_after_a_while(tmp_path: Path) -> None:
    with Rsyslog(tmp_path, "udp") as server, bench(Syslog, **reach(server), repeat="1d") as lab:
        lab.publish(["bad.com"])
        lab.deliverer.cycle()
        lab.advance(hours=17)
        assert lab.deliverer.cycle().sent == 0
        lab.advance(hours=7)
        assert lab.deliverer.cycle().sent == 1
        assert [m["msgid"] for m in server.messages(2)] == ["add", "repeat"]


@pytest.mark.parametrize("server", ["tls"], indirect=True)
def test_tls_that_does_not_fit(server: Rsyslog, tmp_path: Path) -> None:
    other = pem(tmp_path / "other.pem", certificate("Other CA", ca=True))
    with bench(Syslog, **{**reach(server), "ca_file": str(other)}) as lab:
        (check,) = lab.deliverer.far.probe()
        assert not check.ok
        assert "ca_file" in check.fix
    with bench(Syslog, **reach(server)) as lab:
        assert [check.ok for check in lab.deliverer.far.probe()] == [True]


def test_preview_shows_messages() -> None:
    with bench(Syslog, host="siem.example.org") as lab:
        lab.publish(["bad.com"])
        shown = lab.deliverer.preview(3)
        assert "CEF:0|" in shown["requests"][0]
        assert "indicator-remove" in shown["withdrawals"][0]


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"fields": {"cs1": "{value.__class__}"}}, "no field"),
        ({"fields": {"a b": "x"}}, "no key"),
        ({"facility": "local9"}, "no facility"),
        ({"transport": "udp", "max_message": 70_000}, "at most"),
        ({"hostname": "a b"}, "hostname"),
        ({"client_key": "x"}, "client_cert"),
    ],
)
def test_wrong_settings(values: dict[str, Any], words: str) -> None:
    with pytest.raises(ValidationError, match=words):
        SyslogSettings.model_validate({"kind": "syslog", "inputs": ["x"], **values})
