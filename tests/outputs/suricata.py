"""Suricata with a configuration of its own, and captures of what it is to recognise, made here."""

from __future__ import annotations

import struct
import subprocess
from ipaddress import IPv4Address
from pathlib import Path

_CLIENT, _SERVER = "10.0.0.1", "198.18.0.1"
_CONFIGURATION = """\
%YAML 1.1
---
vars: {{address-groups: {{HOME_NET: 10.0.0.0/8}}}}
default-rule-path: {place}
classification-file: {place}/empty
reference-config-file: {place}/empty
threshold-file: {place}/empty
outputs:
  - fast: {{enabled: yes, filename: fast.log}}
app-layer:
  protocols:
    dns: {{udp: {{enabled: yes, detection-ports: {{dp: 53}}}}}}
    http: {{enabled: yes}}
    tls: {{enabled: yes, ja3-fingerprints: yes}}
"""


def configured(place: Path) -> Path:
    """A configuration that needs nothing outside a folder."""
    (place / "empty").touch()
    path = place / "suricata.yaml"
    path.write_text(_CONFIGURATION.format(place=place))
    return path


def alerts(place: Path, rules: Path, packets: list[bytes], path: str) -> list[str]:
    """What Suricata alerts to in a capture: the messages of its rules, in order of their appearance."""
    (place / "capture.pcap").write_bytes(_capture(packets))
    (place / "fast.log").unlink(missing_ok=True)
    command = ["suricata", "-c", str(configured(place)), "-S", str(rules), "-l", str(place), "-k", "none"]
    done = subprocess.run(
        [*command, "-r", str(place / "capture.pcap")],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        env={"PATH": path},
    )
    assert done.returncode == 0, done.stdout + done.stderr
    lines = (place / "fast.log").read_text().splitlines()
    return list(dict.fromkeys(line.split("] ", 2)[2].partition(" [**]")[0] for line in lines))


def datagram(address: str, port: int = 9999, data: bytes = b"x") -> bytes:
    """A UDP packet from inside."""
    return _ip(_CLIENT, address, 17, struct.pack("!HHHH", 4000, port, 8 + len(data), 0) + data)


def question(name: str) -> bytes:
    """A DNS question for a name."""
    labels = b"".join(bytes([len(label)]) + label.encode() for label in name.split("."))
    header = struct.pack("!HHHHHH", 1, 0x0100, 1, 0, 0, 0)
    return datagram(_SERVER, 53, header + labels + b"\0" + struct.pack("!HH", 1, 1))


def download(port: int, host: str, target: str, body: bytes = b"", *, at: int = 80) -> list[bytes]:
    """A whole HTTP exchange from a client's port: GET target, and its answer."""
    asked = f"GET {target} HTTP/1.1\r\nHost: {host}\r\n\r\n".encode()
    told = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(body) + body
    out, back = (_CLIENT, _SERVER, port, at), (_SERVER, _CLIENT, at, port)
    after, end = 2 + len(asked), 2 + len(told)
    return [
        _tcp(*out, 1, 0, 0x02),
        _tcp(*back, 1, 2, 0x12),
        _tcp(*out, 2, 2, 0x10),
        _tcp(*out, 2, 2, 0x18, asked),
        _tcp(*back, 2, after, 0x18, told),
        _tcp(*out, after, end, 0x11),
        _tcp(*back, end, after + 1, 0x11),
        _tcp(*out, after + 1, end + 1, 0x10),
    ]


def _tcp(source: str, target: str, sent: int, to: int, number: int, seen: int, flags: int, data: bytes = b"") -> bytes:
    header = struct.pack("!HHIIBBHHH", sent, to, number, seen, 0x50, flags, 65535, 0, 0)
    return _ip(source, target, 6, header + data)


def _ip(source: str, target: str, protocol: int, data: bytes) -> bytes:
    addresses = IPv4Address(source).packed + IPv4Address(target).packed
    header = struct.pack("!BBHHHBBH", 0x45, 0, 20 + len(data), 1, 0, 64, protocol, 0)
    return b"\x02" * 6 + b"\x04" * 6 + b"\x08\x00" + header + addresses + data


def _capture(packets: list[bytes]) -> bytes:
    head = struct.pack("<IHHiIII", 0xA1B2C3D4, 2, 4, 0, 0, 65535, 1)
    records = (
        struct.pack("<IIII", 1_700_000_000 + n, 0, len(each), len(each)) + each for n, each in enumerate(packets)
    )
    return head + b"".join(records)
