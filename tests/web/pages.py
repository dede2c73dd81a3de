"""Every page that one can go to, for the tests that look at them all."""

from __future__ import annotations

from urllib.parse import quote

from web.stage import NODE

PAGES = [
    "/overview",
    "/overview?period=7d",
    "/pipeline",
    f"/nodes/{quote(NODE)}",
    "/nodes/list",
    "/nodes/defender",
    "/nodes/merged",
    "/indicators",
    "/indicators?text=198.51.101.7&type=ipv4",
    "/indicators/detail?value=198.51.101.7",
    "/indicators/related?value=203.0.114.9",
    "/indicators/lookup?values=203.0.114.5%0Anope",
    "/indicators/add",
    "/feeds",
    "/feeds?sort=-indicators&q=plain",
    "/feeds/overlap",
    "/feeds/schedule",
    "/feeds/library",
    "/feeds/library?q=tor&state=all",
    "/feeds/library/otx-export",
    "/feeds/add",
    "/feeds/add?kind=csv",
    "/feeds/plain/edit",
    "/feeds/misp",
    "/lists",
    "/activity",
    "/activity?action=login&text=a&since=2026-01-01",
    "/activity/logs",
    "/activity/logs?level=warning&text=x",
]
