"""The programs that read lists, at work with ours: what is listed is refused, what is not is let through."""

from __future__ import annotations

import shutil
import socket
import struct
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from tempfile import TemporaryDirectory
from threading import Thread

import httpx
import pytest

from outputs.dialects import of, write
from outputs.publishing import engine_of, list_output, publish, row
from outputs.test_readers import need
from programs import free_port, nginx, running, soon
from tipline.engine.core import Engine
from tipline.outputs.render.dialect import Format

NAME_ERROR, NO_ERROR = 3, 0
LISTED, OTHER = "127.0.0.66", "127.0.0.67"


@pytest.fixture(scope="module")
def engine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Engine]:
    with engine_of(tmp_path_factory.mktemp("lists"), list_output("block")) as made:
        names = ("bad.example", "xn--bcher-kva.example")
        publish(made, "block", [row("ipv4", LISTED), *(row("domain", name) for name in names)])
        yield made


@pytest.fixture
def listed(engine: Engine, tmp_path: Path) -> Callable[..., Path]:
    def written(name: Format, t: str = "", **options: str) -> Path:
        path = tmp_path / f"{name}.{t}.list"
        path.write_bytes(write(engine, "block", of(name, t, options=list(options.items())))[0])
        return path

    return written


def get(url: str, *, source: str = "127.0.0.1", proxy: str | None = None, host: str | None = None) -> int:
    """The status of an answer to a client at an address."""
    headers = {"Host": host} if host else {}

    def ask() -> int:
        with httpx.Client(transport=httpx.HTTPTransport(local_address=source, proxy=proxy), timeout=30) as client:
            return client.get(url, headers=headers).status_code

    return soon(ask, httpx.TransportError)


def asked(port: int, name: str) -> int:
    """What a resolver's answer says (RCODE)."""
    labels = b"".join(bytes([len(label)]) + label.encode() for label in name.split("."))
    question = struct.pack("!HHHHHH", 7, 0x0100, 1, 0, 0, 0) + labels + b"\0" + struct.pack("!HH", 1, 1)

    def ask() -> int:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
            client.settimeout(5)
            client.connect(("127.0.0.1", port))
            client.send(question)
            return client.recv(4096)[3] & 0xF

    return soon(ask, OSError)


def test_nginx_denies(listed: Callable[..., Path], tmp_path: Path) -> None:
    need("nginx")
    (tmp_path / "www").mkdir()
    (tmp_path / "www" / "index.html").write_text("hello")
    with nginx(tmp_path, f"include {listed('nginx')};", f"root {tmp_path}/www;") as url:
        assert [get(f"{url}/", source=each) for each in (LISTED, OTHER)] == [403, 200]


def test_haproxy_denies(listed: Callable[..., Path], tmp_path: Path) -> None:
    need("haproxy")
    port, path = free_port(), tmp_path / "haproxy.cfg"
    path.write_text(
        f"frontend f\n mode http\n bind 127.0.0.1:{port}\n timeout client 10s\n"
        f" http-request deny if {{ src -f {listed('haproxy')} }}\n"
        f" http-request deny if {{ hdr(host) -f {listed('haproxy', 'domain')} }}\n"
        " http-request return status 200\n"
    )
    with running("haproxy", "-db", "-f", str(path)):
        url = f"http://127.0.0.1:{port}/"
        assert [get(url, source=each) for each in (LISTED, OTHER)] == [403, 200]
        assert [get(url, host=each) for each in ("bad.example", "good.example")] == [403, 200]


class _Hello(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.send_response(200)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def hello() -> Iterator[int]:
    """A web server on three of loopback's addresses."""
    with ExitStack() as stack:
        port = free_port()
        for address in ("127.0.0.1", LISTED, OTHER):
            server = stack.enter_context(ThreadingHTTPServer((address, port), _Hello))
            thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
            thread.start()
            stack.callback(thread.join)
            stack.callback(server.shutdown)
        yield port


def test_squid_denies(listed: Callable[..., Path], hello: int) -> None:
    need("squid")
    port = free_port()
    with TemporaryDirectory() as name:
        # Squid does not stay root, and its user comes into no folder of pytest's.
        folder = Path(name)
        folder.chmod(0o777)
        files = {t: Path(shutil.copy(listed("squid", t), folder / t)) for t in ("ip", "domain")}
        hosts, path = folder / "hosts", folder / "squid.conf"
        hosts.write_text("127.0.0.1 bad.example good.example\n")
        path.write_text(
            f'acl addresses dst "{files["ip"]}"\nacl names dstdomain "{files["domain"]}"\n'
            f"http_access deny addresses\nhttp_access deny names\nhttp_access allow all\n"
            f"http_port 127.0.0.1:{port}\npid_filename none\ncache_log {folder}/log\naccess_log none\n"
            f"cache deny all\npinger_enable off\ncoredump_dir {folder}\nshutdown_lifetime 0 seconds\n"
            f"hosts_file {hosts}\n"
        )
        with running("squid", "-N", "-n", f"tipline{port}", "-f", str(path)):
            proxy = f"http://127.0.0.1:{port}"
            urls = [f"http://{host}:{hello}/" for host in (LISTED, OTHER, "bad.example", "good.example")]
            assert [get(url, proxy=proxy) for url in urls] == [403, 200, 403, 200]


def test_dnsmasq_answers_that_there_is_no_such_name(listed: Callable[..., Path], tmp_path: Path) -> None:
    need("dnsmasq")
    port = free_port()
    known = "--address=/good.example/192.0.2.1"
    command = ["-k", "-C", str(listed("dnsmasq")), f"--port={port}", "--listen-address=127.0.0.1", "--no-hosts"]
    with running("dnsmasq", *command, "--bind-interfaces", "--no-resolv", "--user=root", "--pid-file=", known):
        names = ("bad.example", "below.bad.example", "good.example")
        assert [asked(port, name) for name in names] == [NAME_ERROR, NAME_ERROR, NO_ERROR]


@contextmanager
def unbound(folder: Path, more: str) -> Iterator[int]:
    need("unbound")
    port, path = free_port(), folder / "unbound.conf"
    path.write_text(
        f'server:\n  chroot: ""\n  directory: "{folder}"\n  username: ""\n  pidfile: ""\n  use-syslog: no\n'
        f"  interface: 127.0.0.1@{port}\n  do-daemonize: no\n  logfile: {folder}/log\n"
        '  local-data: "good.example. IN A 192.0.2.1"\n'
        f"remote-control:\n  control-enable: no\n{more}"
    )
    with running("unbound", "-d", "-c", str(path)):
        yield port


def test_unbound_answers_that_there_is_no_such_name(listed: Callable[..., Path], tmp_path: Path) -> None:
    with unbound(tmp_path, f'include: "{listed("unbound")}"\n') as port:
        names = ("bad.example", "below.bad.example", "good.example")
        assert [asked(port, name) for name in names] == [NAME_ERROR, NAME_ERROR, NO_ERROR]


def test_a_policy_zone_is_obeyed(listed: Callable[..., Path], tmp_path: Path) -> None:
    """By unbound, one of its readers: what it answers of its own, it would answer to the rest of the world, too."""
    zone = listed("rpz", sub="1")
    more = f'server:\n  module-config: "respip iterator"\nrpz:\n  name: rpz.test\n  zonefile: "{zone}"\n'
    with unbound(tmp_path, more) as port:
        names = ("bad.example", "below.bad.example", "good.example")
        assert [asked(port, name) for name in names] == [NAME_ERROR, NAME_ERROR, NO_ERROR]
