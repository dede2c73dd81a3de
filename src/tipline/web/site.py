"""The site: its pages put together, its templates, and the headers that each answer carries."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cached_property
from importlib import import_module
from importlib.resources import files
from pkgutil import iter_modules
from types import ModuleType
from typing import Any

from fastapi import FastAPI
from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup
from starlette.datastructures import MutableHeaders
from starlette.middleware.gzip import GZipMiddleware
from starlette.staticfiles import StaticFiles
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from tipline import __version__
from tipline.engine.operations import Operations
from tipline.web import pages
from tipline.web.session import Door, Role

PREFIX = "/ui"
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; font-src 'self';"
    " form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
)
_HEADERS = {
    "content-security-policy": POLICY,
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
    "referrer-policy": "same-origin",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "permissions-policy": "camera=(), geolocation=(), microphone=()",
}


@dataclass(frozen=True)
class Nav:
    """A page's place in the navigation.

    Attributes:
        label: what it says.
        path: below `PREFIX`.
        key: after `g`, it leads there.
        order: from the top.
        icon: a symbol of `shell/icons.html`.
        role: who sees it.
    """

    label: str
    path: str
    key: str
    order: int
    icon: str = "dot"
    role: Role = "viewer"


@dataclass
class Site:
    """What every page may use.

    Args:
        operations: what people can do on the engine.
        door: who lets people in.
    """

    operations: Operations
    door: Door
    nav: list[Nav] = field(default_factory=list)

    @cached_property
    def templates(self) -> Environment:
        """Templates: everything is escaped, and control characters are spelt out."""
        environment = Environment(
            loader=PackageLoader("tipline.web"),
            autoescape=True,
            undefined=StrictUndefined,
            finalize=printable,
            trim_blocks=True,
            lstrip_blocks=True,
        )
        environment.filters["number"] = number
        environment.filters["share"] = share
        environment.filters["written"] = written
        environment.globals["prefix"] = PREFIX
        environment.globals["static"] = self.static
        environment.globals["version"] = __version__
        return environment

    def static(self, name: str) -> str:
        """The address of a static file; it changes with the files, so that browsers may keep them."""
        return f"{PREFIX}/static/{name}?v={self._digest}"

    @cached_property
    def _digest(self) -> str:
        digest = hashlib.sha256()
        folder = files("tipline.web").joinpath("static")
        for each in sorted(_walk(folder), key=lambda one: str(one.name)):
            digest.update(each.read_bytes())
        return digest.hexdigest()[:12]


def printable(value: Any) -> Any:
    """What a template writes: nothing for None, and text whose control characters are spelt out."""
    if value is None:
        return ""
    if not isinstance(value, str) or isinstance(value, Markup) or value.isprintable():
        return value
    return "".join(c if c.isprintable() or c in "\n\t" else c.encode("unicode_escape").decode() for c in value)


def number(value: float | None) -> str:
    """A number with separators."""
    if value is None:
        return "–"
    return f"{value:,.1f}" if isinstance(value, float) and not value.is_integer() else f"{int(value):,}"


def written(value: Any) -> str:
    """A value of a record as people read it: text as it is, the rest as JSON; a dash for nothing."""
    if value is None or value == "":
        return "–"
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=str)


def share(part: float, whole: float) -> float:
    """A part of a whole in per cent, 0 if there is no whole."""
    return 100 * part / whole if whole else 0.0


def modules() -> Iterator[ModuleType]:
    """The page groups: every module of `web/pages`."""
    for found in iter_modules(pages.__path__, pages.__name__ + "."):
        yield import_module(found.name)


def static_files() -> ASGIApp:
    """What stands in `web/static`, compressed."""
    return GZipMiddleware(StaticFiles(packages=[("tipline.web", "static")]))


class Headers:
    """Gives every answer its security headers, and says what may be kept."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass on, with headers added to the start of the answer."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        kept = scope["path"].startswith(f"{PREFIX}/static/") and b"v=" in scope["query_string"]

        async def start(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in _HEADERS.items():
                    headers.setdefault(name, value)
                if "/static/" in scope["path"]:
                    headers["cache-control"] = "public, max-age=31536000, immutable" if kept else "no-cache"
                else:
                    headers.setdefault("cache-control", "no-store")
            await send(message)

        await self.app(scope, receive, start)


def include(app: FastAPI) -> list[Nav]:
    """Add every page group to an application; returns the navigation."""
    found = []
    for module in modules():
        app.include_router(module.router)
        if hasattr(module, "NAV"):
            found.append(module.NAV)
    return sorted(found, key=lambda nav: nav.order)


def _walk(folder: Any) -> Iterator[Any]:
    for each in folder.iterdir():
        if each.is_dir():
            yield from _walk(each)
        else:
            yield each
