"""OpenTAXII and cabby as peers: from an environment of their own (`make test` builds it), in processes of their own."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest

from programs import free_port

_KNOWN = [os.environ.get("TIPLINE_PEERS", ""), str(Path(sys.prefix) / "peers")]
_SERVICES = """\
services:
  - {id: inbox, type: inbox, address: /inbox, description: in, destination_collection_required: true,
     accept_all_content: true, authentication_required: true,
     protocol_bindings: ["urn:taxii.mitre.org:protocol:http:1.0"]}
  - {id: discovery, type: discovery, address: /discovery, description: all, authentication_required: true,
     advertised_services: [inbox, discovery, management, poll],
     protocol_bindings: ["urn:taxii.mitre.org:protocol:http:1.0"]}
  - {id: management, type: collection_management, address: /management, description: management,
     authentication_required: true, protocol_bindings: ["urn:taxii.mitre.org:protocol:http:1.0"]}
  - {id: poll, type: poll, address: /poll, description: poll, subscription_required: false, max_result_count: PAGE,
     max_result_size: 10, authentication_required: true, protocol_bindings: ["urn:taxii.mitre.org:protocol:http:1.0"]}
collections:
  - {name: feed, available: true, accept_all_content: true, type: DATA_FEED, service_ids: [inbox, management, poll]}
  - {name: set, available: true, accept_all_content: true, type: DATA_SET, service_ids: [inbox, management, poll]}
MORE
accounts:
  - {username: test, password: test, permissions: {feed: modify, set: modify, MODIFY}}
  - {username: guest, password: guest, permissions: {feed: read, READ}}
"""
_COLLECTION = """\
  - {name: NAME, available: true, accept_all_content: true, type: DATA_FEED, service_ids: [inbox, management, poll]}
"""
_SUBSCRIBE = """
import json, sys
from cabby import create_client
client = create_client("127.0.0.1", port=int(sys.argv[1]), version="1.1")
client.set_auth(username="test", password="test")
names = sys.argv[3:]
if sys.argv[2]:
    with open(sys.argv[2]) as content:
        client.push(content.read(), "urn:stix.mitre.org:xml:1.1.1", collection_names=names, uri="/inbox")
made = {name: client.subscribe(name, uri="/management").subscriptions[0].id for name in names}
print(json.dumps(made))
"""
_CONFIGURATION = """\
domain: "127.0.0.1:PORT"
support_basic_auth: yes
return_server_error_details: no
auth_api:
  class: opentaxii.auth.sqldb.SQLDatabaseAPI
  parameters: {db_connection: "sqlite:///FOLDER/auth.db", create_tables: yes,
               secret: 0123456789abcdef0123456789abcdef, token_ttl_secs: 3600}
taxii1:
  save_raw_inbox_messages: no
  persistence_api:
    class: opentaxii.persistence.sqldb.SQLDatabaseAPI
    parameters: {db_connection: "sqlite:///FOLDER/data.db", create_tables: yes}
taxii2:
  persistence_api:
    class: opentaxii.persistence.sqldb.Taxii2SQLDatabaseAPI
    parameters: {db_connection: "sqlite:///FOLDER/data.db", create_tables: yes}
  title: peer
  public_discovery: true
  max_content_length: 209715200
logging: {opentaxii: error, root: error}
"""
_RUN = "from opentaxii.cli import app; app.run(host='127.0.0.1', port=PORT, debug=False, use_reloader=False)"


def program(name: str) -> Path:
    """A program of the peers' environment; without it the test is skipped, or fails where CI is set."""
    for folder in filter(None, _KNOWN):
        found = Path(folder) / "bin" / name
        if found.exists():
            return found
    if os.environ.get("CI"):
        pytest.fail(f"{name} is missing: make test builds its environment")
    pytest.skip(f"{name} is not there; make .venv/peers.stamp builds its environment")


def run(name: str, *arguments: str, **environment: str) -> str:
    """Run a program of the peers' environment; its output."""
    done = subprocess.run(
        [str(program(name)), *arguments], capture_output=True, text=True, timeout=60, check=False,
        env={**os.environ, **environment},
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@dataclass
class OpenTaxii:
    """A running server; user `test`, password `test`."""

    port: int
    folder: Path

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def push(self, path: Path, collection: str = "feed", binding: str = "urn:stix.mitre.org:xml:1.1.1") -> None:
        """Push one package, or content of another binding, with cabby."""
        run(
            "taxii-push", "--host", "127.0.0.1", "--port", str(self.port), "--path", "/inbox", "--username", "test",
            "--password", "test", "--dest", collection, "--content-file", str(path),
            "--binding", binding,
        )  # fmt: skip

    def subscribe(self, *collections: str, push: Path | None = None) -> dict[str, str]:
        """Subscribe to collections with cabby, after a package was pushed to them; ids by collection."""
        made = run("python", "-c", _SUBSCRIBE, str(self.port), str(push or ""), *collections)
        return dict(json.loads(made))

    def admin(self, name: str, *arguments: str) -> str:
        """Run one of its own tools."""
        return run(name, *arguments, OPENTAXII_CONFIG=str(self.folder / "opentaxii.yml"))


@contextmanager
def opentaxii(folder: Path, page: int = 3, collections: Sequence[str] = ()) -> Iterator[OpenTaxii]:
    """Run OpenTAXII with results of a few blocks each, and perhaps with more collections, which a guest may read."""
    python = program("python")
    port = free_port()
    filled = _CONFIGURATION.replace("PORT", str(port)).replace("FOLDER", str(folder))
    (folder / "opentaxii.yml").write_text(filled)
    (folder / "services.yml").write_text(_services(page, collections))
    server = OpenTaxii(port, folder)
    server.admin("opentaxii-sync-data", str(folder / "services.yml"))
    environment = {**os.environ, "OPENTAXII_CONFIG": str(folder / "opentaxii.yml")}
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(
            [str(python), "-c", _RUN.replace("PORT", str(port))], env=environment, stdout=log, stderr=log
        )
        try:
            _wait(server, process)
            yield server
        finally:
            process.terminate()
            process.wait(10)


def _services(page: int, collections: Sequence[str]) -> str:
    more = "".join(_COLLECTION.replace("NAME", name) for name in collections)
    modify, read = (", ".join(f"{name}: {right}" for name in collections) for right in ("modify", "read"))
    text = _SERVICES.replace("PAGE", str(page)).replace("MORE\n", more)
    return text.replace("MODIFY", modify).replace("READ", read)


def _wait(server: OpenTaxii, process: subprocess.Popen[bytes]) -> None:
    end = time.monotonic() + 30
    while time.monotonic() < end and process.poll() is None:
        try:
            if httpx.get(f"{server.url}/management/health", timeout=5).status_code == 200:
                return
        except httpx.HTTPError:
            time.sleep(0.05)
    raise AssertionError((server.folder / "log").read_text())
