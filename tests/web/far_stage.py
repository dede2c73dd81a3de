"""A running server that delivers to the stand-in for Microsoft's APIs, with others' items and refusals there."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from hashlib import md5, sha256
from pathlib import Path

from tipline.api.serving import served
from tipline.config.check import load
from tipline.engine.accounts import Accounts
from tipline.engine.core import Engine
from tipline.engine.operations import Operations
from tipline.engine.schedule import Scheduler
from tipline.sandbox import Sandbox
from web.stage import ADMIN, CONTROL, FORMULA, PASSWORD, SCRIPT, Lab

ALLOWED = "allowed.example.com"
FOREIGN = "foreign.example.net"
REFUSED = md5(b"refused", usedforsecurity=False).hexdigest()  # Defender refuses MD5 hashes
HOSTILE = f"{SCRIPT} {FORMULA} {CONTROL}"
_CONFIG = """\
sources:
  feed:
    kind: csv
    url: file://{folder}/feed.csv
    columns: {{value: value, description: why}}
    header: true
    confidence: 80
  sharp: {{kind: lines, url: 'file://{folder}/sharp.txt', confidence: 95}}
  ours: {{kind: lines, url: 'file://{folder}/ours.txt'}}
  red-feed: {{kind: lines, url: 'file://{folder}/ours.txt', team: red}}
processors:
  merged: {{kind: aggregate, inputs: [feed, sharp], allow: ours}}
outputs:
  defender:
    kind: microsoft-defender
    inputs: merged
    md5: true
    capacity: 80
    title: "{{value}} {script}"
    credentials: &entra
      tenant_id: {tenant}
      client_id: {client}
      client_secret: {secret}
      login_url: {login}
      ca_file: {ca}
      defender_url: {defender}
      sentinel_url: {sentinel}
      arm_url: {arm}
  sentinel:
    kind: microsoft-sentinel
    inputs: merged
    workspace_id: {workspace}
    workspace_name: {workspace_name}
    subscription_id: {subscription}
    resource_group: {group}
    credentials: *entra
  later: {{kind: microsoft-defender, inputs: merged}}
  block: {{kind: list, inputs: merged, max_tlp: amber}}
  red-defender: {{kind: microsoft-defender, team: red, inputs: red-feed}}
teams: {{red: {{title: "{script}"}}}}
"""


@dataclass
class FarLab(Lab):
    """The server, and the far sides' stand-in."""

    sandbox: Sandbox


@contextmanager
def far_lab(directory: Path) -> Iterator[FarLab]:
    """The server after a round; the tenant also holds three indicators that somebody else made."""
    with Sandbox(directory / "microsoft", rate_limits=False) as sandbox:
        _configure(directory, sandbox)
        for number in range(2):
            sandbox.portal_add(f"other{number}.example.net", "DomainName", "Block", title=SCRIPT)
        sandbox.portal_add(FOREIGN, "DomainName", "Allowed", title=HOSTILE, severity="High")
        with Engine(load(directory / "tipline.yml")) as engine:
            Accounts(engine.control, engine.clock).add(ADMIN, role="admin", team="default", password=PASSWORD)
            first = Scheduler(engine)
            first.deliveries.reconcile("defender")
            first.run_once()
            first.deliveries.reconcile("defender")
            first.deliveries.stop()
            with served(engine, [("127.0.0.1", 0)]) as (urls, scheduler):
                yield FarLab(urls[0], Operations(engine, scheduler), directory, sandbox)


def _configure(directory: Path, sandbox: Sandbox) -> None:
    hashes = [sha256(str(number).encode()).hexdigest() for number in range(120)]
    sharp = [REFUSED, "198.51.101.7", "bad.example.com", "http://bad.example.com/x", FOREIGN, ALLOWED]
    rows = [f'{value},"{HOSTILE}"' for value in hashes]
    (directory / "sharp.txt").write_text("\n".join([*sharp, ""]))
    (directory / "feed.csv").write_text("\n".join(["value,why", *rows, ""]))
    (directory / "ours.txt").write_text(f"{ALLOWED}\n")
    names = {
        "folder": directory,
        "tenant": sandbox.tenant_id, "client": sandbox.client_id, "secret": sandbox.client_secret,
        "login": sandbox.login_url, "ca": sandbox.ca_file, "defender": sandbox.defender_url,
        "sentinel": sandbox.sentinel_url, "arm": sandbox.arm_url, "workspace": sandbox.workspace_id,
        "workspace_name": sandbox.workspace_name, "subscription": sandbox.subscription_id,
        "group": sandbox.resource_group,
    }  # fmt: skip
    (directory / "tipline.yml").write_text(_CONFIG.format(script=SCRIPT, **names))
