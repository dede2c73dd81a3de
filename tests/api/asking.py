"""Two teams on one server, with data that only one of them may see, and clients for their people."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import httpx
from fastapi import FastAPI

from tipline.config.check import check_text
from tipline.config.schema import Configuration

PASSWORD = "four unrelated words: tripod lemon"
# Each stands in one team's data alone; none may ever reach the other team.
RED, PRIVATE = "203.0.114.66", "private-feed"
SHARED = "198.51.101.7"
CONFIG = """\
teams: {blue: {title: Blue}, green: {title: Green}}
sources:
  private-feed: {kind: lines, url: 'file://FOLDER/private.txt', team: blue, tlp: red}
  shared-feed: {kind: csv, url: 'file://FOLDER/shared.csv', columns: {value: value, tlp: tlp}, header: true,
    team: blue, distribution: server, tlp: green}
  green-hand: {kind: local, team: green, tlp: green}
processors:
  merged: {kind: aggregate, team: blue, distribution: server, inputs: [private-feed, shared-feed]}
outputs:
  blue-list: {kind: list, team: blue, access: key, keys: [0123456789abcdef0], inputs: merged, max_tlp: red}
  blue-shared: {kind: list, team: blue, distribution: server, access: key, keys: [0123456789abcdef0],
    inputs: merged, max_tlp: red}
  green-list: {kind: list, team: green, access: key, keys: [0123456789abcdef1], inputs: [merged, green-hand],
    max_tlp: red}
"""


def two_teams(folder: Path) -> Configuration:
    """A configuration of two teams, and the files of its feeds."""
    (folder / "private.txt").write_text(f"{RED}\nprivate.example.org\n")
    (folder / "shared.csv").write_text(f"value,tlp\n{SHARED},green\n{RED},red\nred-only.example.org,red\n")
    return check_text(CONFIG.replace("FOLDER", str(folder)), folder / "tipline.yml").usable()


class Client:
    """Asks an application without a network, from an address of one's choice."""

    def __init__(self, app: FastAPI, host: str = "192.0.2.9", headers: dict[str, str] | None = None) -> None:
        self.transport = httpx.ASGITransport(app, raise_app_exceptions=False, client=(host, 50000))
        self.headers = headers or {}
        self.cookies: dict[str, str] = {}

    def __call__(self, method: str, path: str, **arguments: Any) -> httpx.Response:
        """One request."""
        headers = {**self.headers, **arguments.pop("headers", {})}

        async def ask() -> httpx.Response:
            client = httpx.AsyncClient(transport=self.transport, base_url="http://tipline", cookies=self.cookies)
            async with client:
                return await client.request(method, path, headers=headers, **arguments)

        return asyncio.run(ask())
