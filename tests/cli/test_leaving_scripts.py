"""From misp2sentinel to tipline, end to end: import, shadow, adopt, live; nothing is sent twice, nothing is lost."""

from __future__ import annotations

import json
import ssl
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest

from sources.misp_server import KEY, MispServer
from tipline.sandbox import Sandbox

EVENT = "7c2d3f0e-5b1a-4c1e-9d57-1f0a6d1c2b3a"
FOREIGN = "0f1e2d3c-4b5a-4978-8695-a4b3c2d1e0f9"
SHA256 = "ab" * 32
# MISP's attributes, and the pattern that the script makes of each.
ATTRIBUTES = [
    ("ip-dst", "5.6.7.8", "[ipv4-addr:value = '5.6.7.8']"),
    ("domain", "Evil.Example.COM", "[domain-name:value = 'Evil.Example.COM']"),
    ("url", "http://bad.example.net/it's", r"[url:value = 'http://bad.example.net/it\'s']"),
    ("sha256", SHA256.upper(), f"[file:hashes.'SHA256' = '{SHA256.upper()}']"),
    ("filename|sha256", f"a.exe|{'cd' * 32}", "[file:name = 'a.exe']"),
]
CONFIG = """\
import os
workspace = '{workspace}'
ms_auth = {{
    'tenant': '{tenant}', 'client_id': '{client}', 'client_secret': '{secret}', 'new_upload_api': True,
    'scope': 'https://management.azure.com/.default', 'workspace_id': f'{{workspace}}',
    'subscription_id': '{subscription}', 'resourceGroupName': '{group}', 'workspaceName': '{name}',
}}
misp_key = '{key}'
misp_domain = '{misp}'
misp_verifycert = False
misp_event_filters = {{"published": 1, "includeEventTags": True, "publish_timestamp": "14d"}}
default_confidence = 60
days_to_expire = 90
days_to_expire_start = "valid_from"
days_to_expire_mapping = {{"ipv4-addr": 180}}
ignore_localtags = True
sourcesystem = "MISP"
"""


@pytest.fixture
def sandbox(tmp_path: Path) -> Iterator[Sandbox]:
    with Sandbox(tmp_path / "microsoft", rate_limits=False) as running:
        yield running


@pytest.fixture
def misp() -> Iterator[MispServer]:
    with MispServer() as running:
        running.clock = int(time.time()) - 10 * 86400
        running.add(EVENT, *[(kind, value) for kind, value, _ in ATTRIBUTES])
        yield running


@pytest.fixture
def imported(place: Path, sandbox: Sandbox, misp: MispServer, tipline_: Any, monkeypatch: Any) -> Path:
    """The configuration that the script's becomes, with the stand-in's addresses."""
    text = CONFIG.format(
        workspace=sandbox.workspace_id, tenant=sandbox.tenant_id, client=sandbox.client_id,
        secret=sandbox.client_secret, subscription=sandbox.subscription_id, group=sandbox.resource_group,
        name=sandbox.workspace_name, key=KEY, misp=misp.url,
    )  # fmt: skip
    (place / "config.py").write_text(text)
    answer = tipline_("import", "misp2sentinel", "config.py", "-o", "new/tipline.yml", "--json")
    assert answer.code == 0, answer.err
    assert KEY not in answer.out
    assert sandbox.client_secret not in answer.out
    made = place / "new" / "tipline.yml"
    addresses = {"ca_file": sandbox.ca_file, "login_url": sandbox.login_url, "sentinel_url": sandbox.sentinel_url,
                 "arm_url": sandbox.arm_url}  # fmt: skip
    further = "".join(f"      {name}: {value}\n" for name, value in addresses.items())
    made.write_text(made.read_text().replace("    credentials:\n", f"    credentials:\n{further}"))
    monkeypatch.setenv("TIPLINE_CONFIG", str(made))
    assert tipline_("check").code == 0
    return made


def object_of_the_script(uuid: str, pattern: str) -> dict[str, Any]:
    """An indicator as the script writes it."""
    now = datetime.now(UTC).replace(microsecond=0)
    texts = [f"{when.isoformat().removesuffix('+00:00')}Z" for when in (now, now + timedelta(days=80))]
    return {
        "confidence": 50, "indicator_types": ["WatchList"],
        "object_marking_refs": ["marking-definition--613f2e26-407d-48c7-9eca-b8e91df99dc9"],
        "external_references": [{"source_name": "MISP", "description": "MISP Event: event 7c2d",
                                 "external_id": EVENT, "url": f"https://misp.example/events/view/{EVENT}"}],
        "kill_chain_phases": [], "valid_from": texts[0], "valid_until": texts[1],
        "description": f"event 7c2d (1-{EVENT}) by ACME on 2026-01-01", "name": "event 7c2d", "labels": [],
        "type": "indicator", "spec_version": "2.1", "id": f"indicator--{uuid}",
        "created_by_ref": "identity--55f6ea5e-51ac-4344-bc8c-4170950d210f", "pattern_type": "stix",
        "pattern_version": "2.1", "revoked": False, "pattern": pattern, "created": texts[0], "modified": texts[0],
    }  # fmt: skip


@pytest.fixture
def left(sandbox: Sandbox, misp: MispServer) -> list[str]:
    """What the script has uploaded: MISP's attributes, and one that is no longer there."""
    uuids = [attribute["uuid"] for attribute in misp.events[EVENT]["Attribute"]]
    made = [object_of_the_script(uuid, each[2]) for uuid, each in zip(uuids, ATTRIBUTES, strict=True)]
    made.append(object_of_the_script(FOREIGN, "[ipv4-addr:value = '5.6.7.99']"))
    with httpx.Client(verify=ssl.create_default_context(cafile=str(sandbox.ca_file))) as http:
        token = http.post(
            f"{sandbox.login_url}/{sandbox.tenant_id}/oauth2/v2.0/token",
            data={"client_id": sandbox.client_id, "client_secret": sandbox.client_secret,
                  "grant_type": "client_credentials", "scope": "https://management.azure.com/.default"},
        ).json()["access_token"]  # fmt: skip
        answer = http.post(
            f"{sandbox.sentinel_url}/workspaces/{sandbox.workspace_id}/threat-intelligence-stix-objects:upload",
            params={"api-version": "2024-02-01-preview"},
            json={"sourcesystem": "MISP", "stixobjects": made},
            headers={"Authorization": f"Bearer {token}"},
        )
    assert (answer.status_code, answer.text) == (200, "")
    return [each["id"] for each in made]


def counting(sandbox: Sandbox) -> dict[str, list[str]]:
    """The values that count in the workspace, by source system."""
    rows = sandbox.query("SELECT Id, SourceSystem, ObservableValue, IsActive FROM ThreatIntelIndicators")
    newest = {row["Id"]: row for row in rows}.values()
    found: dict[str, list[str]] = {}
    for row in newest:
        if row["IsActive"]:
            found.setdefault(row["SourceSystem"], []).append(row["ObservableValue"])
    return {source: sorted(values) for source, values in found.items()}


def uploaded_by_us(sandbox: Sandbox) -> int:
    rows = sandbox.query("SELECT count(*) AS n FROM ThreatIntelIndicators WHERE SourceSystem = 'tipline'")
    return int(rows[0]["n"])


@pytest.mark.parametrize("deleting", ["deleted", "kept"])
def test_shadow_compare_live_adopt(
    imported: Path, left: list[str], sandbox: Sandbox, tipline_: Any, deleting: str
) -> None:
    sandbox.behaviour.change(arm_delete_uploaded=deleting)
    before = counting(sandbox)
    assert tipline_("run", "--once", "--json").code == 0
    shown = tipline_("adopt", "sentinel", "--source", "MISP", "--json").json
    assert {item["value"]: item["what"] for item in shown["items"]} == {
        "5.6.7.8": "replace", "evil.example.com": "replace", "http://bad.example.net/it's": "replace",
        SHA256: "replace", "a.exe": "replace", "5.6.7.99": "retire",
    }  # fmt: skip
    assert counting(sandbox) == before

    imported.write_text(imported.read_text().replace("mode: shadow", "mode: live"))
    assert tipline_("run", "--once", "--json").code == 0
    sent = uploaded_by_us(sandbox)
    applied = tipline_("adopt", "sentinel", "--source", "MISP", "--apply", "--retire", "--json").json
    assert (applied["deleted"], applied["failed"]) == (len(left), {})
    assert tipline_("run", "--once", "--json").code == 0

    ours = ["5.6.7.8", "a.exe", SHA256, "cd" * 32, "evil.example.com", "http://bad.example.net/it's"]
    assert counting(sandbox) == {"tipline": sorted(ours)}
    assert uploaded_by_us(sandbox) == sent == len(ours)
    assert tipline_("adopt", "sentinel", "--source", "MISP", "--json").json["items"] == []
    assert tipline_("reconcile", "sentinel", "--json").code == 0


def test_secrets_lie_in_files_of_their_owner_alone(imported: Path, sandbox: Sandbox) -> None:
    files = {path.name: path for path in (imported.parent / "secrets").iterdir()}
    assert {name: path.read_text() for name, path in files.items()} == {
        "misp-key": KEY, "sentinel-client-secret": sandbox.client_secret,
    }  # fmt: skip
    assert {oct(path.stat().st_mode & 0o777) for path in files.values()} == {"0o600"}
    assert (imported.parent / "secrets").stat().st_mode & 0o077 == 0
    assert KEY not in json.dumps(imported.read_text())
