"""The programs that read lists, reading ours: what is good, what is hostile, and an empty list.

A program that is missing is a failure where CI=true (`.ci/packages` says what to install), else a skip. Suricata is
in Debian 12's backports only, so that without it the tests of its dialects are skipped everywhere.
"""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from outputs.dialects import good_rows, of, write
from outputs.publishing import engine_of, list_output, publish, row
from outputs.suricata import alerts, configured, datagram, download, question
from outputs.test_dialect_contract import HOSTILE, hostile_row
from programs import PATH
from tipline.engine.core import Engine
from tipline.outputs.render.dialect import Format

# A network namespace of its own: what nft and ipset load is gone with it.
ALONE = ["unshare", "--map-root-user", "--net"]
EVIL = b"not a good file"
LISTS = pytest.mark.parametrize("which", ["good", "hostile", "empty"])


@pytest.fixture(scope="module")
def engine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Engine]:
    names = ("good", "hostile", "empty")
    with engine_of(tmp_path_factory.mktemp("lists"), *(list_output(name) for name in names)) as made:
        files = [row("md5", hashlib.md5(EVIL).hexdigest()), row("sha256", hashlib.sha256(EVIL).hexdigest())]
        below = [row("domain", "below.a.example"), row("ipv4", "198.51.100.128/25")]
        publish(made, "good", [*good_rows(), *below, *files])
        types = ("domain", "url", "ipv4", "ipv6", "md5", "file-name")
        publish(made, "hostile", [hostile_row(type_, value) for type_ in types for value in HOSTILE])
        publish(made, "empty", [])
        yield made


def missing(what: str) -> None:
    """Fail or skip for want of a program."""
    if os.environ.get("CI") == "true":
        pytest.fail(f"{what}; install what .ci/packages names")
    pytest.skip(what)


def need(program: str) -> None:
    if shutil.which(program, path=PATH) is None:
        missing(f"{program} is not installed")


def run(*command: str, stdin: str = "") -> str:
    """Run a reader; returns what it said."""
    done = subprocess.run(
        command,
        input=stdin,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        env={"PATH": PATH, "LC_ALL": "C"},
    )
    said = done.stdout + done.stderr
    assert done.returncode == 0, said
    return said


def alone(program: str, script: str) -> str:
    """Run a script in a network namespace of its own."""
    need(program)
    need("unshare")
    tried = subprocess.run([*ALONE, "true"], capture_output=True, check=False, env={"PATH": PATH})
    if tried.returncode:
        missing("unshare --map-root-user --net is not permitted here")
    return run(*ALONE, "sh", "-ec", script)


@pytest.fixture
def listed(engine: Engine, tmp_path: Path) -> Callable[..., Path]:
    def written(which: str, name: Format, t: str = "", **options: str) -> Path:
        path = tmp_path / f"{name}.list"
        path.write_bytes(write(engine, which, of(name, t, options=list(options.items())))[0])
        return path

    return written


@LISTS
def test_nftables(listed: Callable[..., Path], which: str) -> None:
    path = listed(which, "nftables")
    alone("nft", f"nft -c -f {path}")
    # Loaded twice: what is there already is replaced.
    said = alone("nft", f"nft -f {path}; nft -f {path}; nft list table inet tipline")
    assert ("203.0.113.5" in said) == (which == "good")


@LISTS
def test_ipset(listed: Callable[..., Path], which: str) -> None:
    path = listed(which, "ipset")
    said = alone("ipset", f"ipset restore < {path}; ipset restore < {path}; ipset save")
    members = re.findall(r"^add block_list_v4 (\S+)", said, re.MULTILINE)
    assert len(members) == {"good": 5, "hostile": 0, "empty": 0}[which]


@LISTS
def test_unbound(listed: Callable[..., Path], which: str, tmp_path: Path) -> None:
    need("unbound-checkconf")
    path = tmp_path / "unbound.conf"
    path.write_text(
        f'server:\n  chroot: ""\n  directory: "{tmp_path}"\n  username: ""\n  pidfile: ""\n'
        f'include: "{listed(which, "unbound")}"\n'
    )
    assert "no errors" in run("unbound-checkconf", str(path))


@LISTS
def test_dnsmasq(listed: Callable[..., Path], which: str) -> None:
    need("dnsmasq")
    assert "syntax check OK" in run("dnsmasq", "--test", "-C", str(listed(which, "dnsmasq")))


@LISTS
@pytest.mark.parametrize("sub", ["0", "1"])
def test_zone(listed: Callable[..., Path], which: str, sub: str) -> None:
    need("named-checkzone")
    path = listed(which, "rpz", sub=sub)
    for zone in ("rpz", "a" * 50 + ".example"):
        assert "loaded serial 7\nOK" in run("named-checkzone", "-k", "fail", zone, str(path))


@LISTS
def test_nginx(listed: Callable[..., Path], which: str, tmp_path: Path) -> None:
    need("nginx")
    path = tmp_path / "nginx.conf"
    path.write_text(
        f"pid {tmp_path}/pid;\nerror_log stderr;\nevents {{}}\n"
        f"http {{\n access_log off;\n include {listed(which, 'nginx')};\n"
        + "".join(
            f" {each}_temp_path {tmp_path}/{each};\n" for each in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
        )
        + " server { listen unix:unused.sock; }\n}\n"
    )
    assert "test is successful" in run("nginx", "-t", "-p", str(tmp_path), "-c", str(path))


@LISTS
@pytest.mark.parametrize(("t", "sample"), [("ip", "src"), ("domain", "hdr(host)")])
def test_haproxy(listed: Callable[..., Path], which: str, t: str, sample: str, tmp_path: Path) -> None:
    need("haproxy")
    path = tmp_path / "haproxy.cfg"
    path.write_text(
        f"frontend f\n mode http\n bind 127.0.0.1:8080\n timeout client 1s\n"
        f" http-request deny if {{ {sample} -f {listed(which, 'haproxy', t)} }}\n"
    )
    assert "ALERT" not in run("haproxy", "-c", "-f", str(path))


@LISTS
@pytest.mark.parametrize(("t", "acl"), [("ip", "dst"), ("domain", "dstdomain")])
def test_squid(listed: Callable[..., Path], which: str, t: str, acl: str, tmp_path: Path) -> None:
    need("squid")
    path = tmp_path / "squid.conf"
    path.write_text(
        f'acl listed {acl} "{listed(which, "squid", t)}"\nhttp_access deny listed\nhttp_port 3128\n'
        f"pid_filename none\ncache_log {tmp_path}/cache.log\naccess_log none\n"
    )
    said = run("squid", "-k", "parse", "-f", str(path))
    # Of a file without a line Squid warns.
    assert which != "good" or not re.search(r"WARNING|ERROR|FATAL", said)


def suricata(*arguments: str) -> str:
    if shutil.which("suricata", path=PATH) is None:
        pytest.skip("suricata is not installed")
    return run("suricata", *arguments)


@LISTS
def test_suricata_takes_the_rules(listed: Callable[..., Path], which: str, tmp_path: Path) -> None:
    path, configuration = listed(which, "suricata"), configured(tmp_path)
    said = suricata("-T", "-c", str(configuration), "-S", str(path), "-l", str(tmp_path))
    assert ("successfully loaded" in said) or which != "good"
    rules = sum(1 for line in path.read_text().splitlines() if line.startswith("alert"))
    assert f"{rules} rules successfully loaded, 0 rules failed" in said or not rules


def test_suricata_alerts_to_what_is_listed(listed: Callable[..., Path], tmp_path: Path) -> None:
    suricata("-V")
    packets = [
        question("a.example"),
        question("other.a.example"),
        datagram("198.51.100.9"),
        datagram("203.0.113.200"),
        *download(4001, "a.example", "/x?y=1&z=2;3"),
        *download(4002, "a.example", "/x?y=1&z=2;4"),
        *download(4003, "192.0.2.7:8080", "/a:b", at=8080),
    ]
    assert sorted(alerts(tmp_path, listed("good", "suricata"), packets, PATH)) == [
        "tipline block_list: 192.0.2.7",
        "tipline block_list: 198.51.100.0/24",
        "tipline block_list: a.example",
    ]


#: The choice of a dataset: the rule that reads it, what it must alert to, and what not.
DATASETS: dict[str, tuple[str, list[bytes], list[bytes]]] = {
    "domain": (
        "alert dns any any -> any any (dns.query; dataset:isset,x,type string,load FILE;",
        [question("a.example")],
        [question("other.example")],
    ),
    "url": (
        "alert http any any -> any any (http.uri.raw; dataset:isset,x,type string,load FILE;",
        download(4001, "a.example", "http://a.example/x?y=1&z=2;3"),
        download(4001, "a.example", "http://a.example/x"),
    ),
    "ip": (
        "alert ip any any -> any any (ip.dst; dataset:isset,x,type ip,load FILE;",
        [datagram("192.0.2.1")],
        [datagram("192.0.2.2")],
    ),
    "md5": (
        "alert http any any -> any any (filemd5:FILE;",
        download(4001, "a.example", "/f", EVIL),
        download(4001, "a.example", "/f", b"good"),
    ),
    "sha256": (
        "alert http any any -> any any (filesha256:FILE;",
        download(4001, "a.example", "/f", EVIL),
        download(4001, "a.example", "/f", b"good"),
    ),
    "ja3": ("alert tls any any -> any any (ja3.hash; dataset:isset,x,type string,load FILE;", [], []),
}


@LISTS
@pytest.mark.parametrize("t", DATASETS)
def test_suricata_looks_into_datasets(listed: Callable[..., Path], which: str, t: str, tmp_path: Path) -> None:
    rule, listed_traffic, other_traffic = DATASETS[t]
    if which != "good" and t in {"md5", "sha256"}:  # those keywords refuse a file without a line, datasets do not
        rule = f"alert http any any -> any any (file.data; to_{t}; dataset:isset,x,type {t},load FILE;"
    path, rules = listed(which, "suricata-dataset", t), tmp_path / "own.rules"
    rules.write_text(rule.replace("FILE", str(path)) + ' msg:"listed"; sid:1;)\n')
    said = suricata("-T", "-c", str(configured(tmp_path)), "-S", str(rules), "-l", str(tmp_path))
    assert "1 rules successfully loaded, 0 rules failed" in said
    assert not re.search(r"Warning: (?!counters)|Error", said)
    if which == "good" and listed_traffic:
        assert alerts(tmp_path, rules, listed_traffic, PATH) == ["listed"]
        assert alerts(tmp_path, rules, other_traffic, PATH) == []
