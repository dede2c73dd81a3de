"""What a page is given: who asks, what they may do, and how it answers as HTML or JSON."""

from __future__ import annotations

import hmac
from collections.abc import AsyncGenerator, Callable, Mapping
from http import HTTPStatus
from typing import Annotated, Any
from urllib.parse import parse_qsl, quote, unquote, urlencode, urlsplit

from fastapi import Depends
from fastapi.responses import JSONResponse, RedirectResponse, Response
from starlette.formparsers import MultiPartException, MultiPartParser
from starlette.requests import Request
from starlette.responses import HTMLResponse

from tipline.engine.core import Engine
from tipline.engine.operations import Operations, plain
from tipline.engine.people import RequestError
from tipline.errors import TiplineError
from tipline.http_problems import status_of
from tipline.kinds import Kind
from tipline.web.session import Person, Role
from tipline.web.site import PREFIX, Site

_MOST_FORM_BYTES = 1 << 20
_MOST_UPLOAD_BYTES = 16 << 20
_SAID = "tipline-said"
_SAFE = {"GET", "HEAD", "OPTIONS"}


class SignInNeededError(Exception):
    """Nobody is signed in: the pages send people to the sign-in, and others get 401."""


class ForbiddenError(RequestError):
    """Whoever asks may not do this."""

    code = "forbidden"


class TooLargeError(RequestError):
    """More was sent than is taken."""

    code = "too-large"


class Fields:
    """What a form sent: text by name, and the file that came with it.

    Args:
        pairs: (name, text) in the form's order.
        file: its content, if the form had one that is not empty.
        filename: as the browser calls it; never a path to open.
    """

    def __init__(self, pairs: list[tuple[str, str]], file: bytes = b"", filename: str = "") -> None:
        self._pairs = pairs
        self.file = file
        self.filename = filename

    def __getitem__(self, name: str) -> str:
        """The first value of a name, stripped; empty if there is none."""
        return next((value.strip() for key, value in self._pairs if key == name), "")

    def whole(self, name: str) -> str:
        """The first value of a name as it was sent."""
        return next(iter(self.all(name)), "")

    def names(self) -> list[str]:
        """Every name, once."""
        return list(dict.fromkeys(name for name, _ in self._pairs))

    def all(self, name: str) -> list[str]:
        """Every value of a name."""
        return [value for key, value in self._pairs if key == name]


async def read_form(request: Request) -> Fields:
    """The fields of a form of at most 1 MiB, or of 16 MiB with a file (multipart/form-data).

    Raises:
        TooLargeError: it is larger.
        SignInNeededError: nobody who is signed in sends a file.
    """
    if request.method in _SAFE:
        return Fields([])
    if request.headers.get("content-type", "").startswith("multipart/form-data"):
        return await _read_upload(request)
    body = bytearray()
    async for piece in request.stream():
        body += piece
        if len(body) > _MOST_FORM_BYTES:
            raise TooLargeError("the form is larger than 1 MiB", fix="send it in parts")
    return Fields(parse_qsl(body.decode("utf-8", "replace"), keep_blank_values=True))


async def _read_upload(request: Request) -> Fields:
    site: Site = request.app.state.site
    if site.door.person(request) is None:
        raise SignInNeededError
    parser = MultiPartParser(request.headers, _limited(request.stream()), max_files=1, max_fields=500)
    try:
        form = await parser.parse()
    except MultiPartException as exc:
        raise RequestError(f"the form cannot be read: {exc.message}", fix="send it again") from None
    pairs, file, filename = [], b"", ""
    for name, value in form.multi_items():
        if isinstance(value, str):
            pairs.append((name, value))
        else:
            file, filename = await value.read(), value.filename or ""
    await form.close()
    return Fields(pairs, file, filename)


async def _limited(stream: AsyncGenerator[bytes]) -> AsyncGenerator[bytes]:
    read = 0
    async for piece in stream:
        read += len(piece)
        if read > _MOST_UPLOAD_BYTES:
            raise TooLargeError("the file is larger than 16 MiB", fix="send it in parts, or make it a file source")
        yield piece


Form = Annotated[Fields, Depends(read_form)]


class Page:
    """One request for a page."""

    def __init__(self, site: Site, request: Request, person: Person | None) -> None:
        self.site = site
        self.request = request
        self._person = person

    @property
    def operations(self) -> Operations:
        """What who asks can do on the engine."""
        return self.site.operations.asked_by(self.person.asker)

    @property
    def engine(self) -> Engine:
        """The engine."""
        return self.site.operations.engine

    @property
    def person(self) -> Person:
        """Who asks.

        Raises:
            SignInNeededError: nobody is signed in.
        """
        if self._person is None:
            raise SignInNeededError
        return self._person

    @property
    def signed_in(self) -> bool:
        """Whether somebody is signed in."""
        return self._person is not None

    def sees(self, node: str) -> bool:
        """Whether a node exists and who asks may see it."""
        found = self.engine.configuration.nodes().get(node)
        return found is not None and self.person.sees(found.settings.team, found.settings.distribution)

    def nodes(self) -> dict[str, Kind[Any]]:
        """The nodes that who asks may see."""
        return {name: node for name, node in self.engine.configuration.nodes().items() if self.sees(name)}

    def url(self, **changes: Any) -> str:
        """This page's address with some query parameters changed; None or empty takes one out."""
        query = {**dict(self.request.query_params), **changes}
        query.pop("format", None)
        kept = {name: value for name, value in query.items() if value not in {None, ""}}
        return f"{self.path}?{urlencode(kept)}" if kept else self.path

    @property
    def path(self) -> str:
        """This page's address without its query."""
        return quote(self.request.scope["path"], safe="/:@")

    def show(self, template: str, view: Mapping[str, Any], *, title: str, status: int = 200) -> Response:
        """Answer with a view: as JSON if that is asked for, else as the template.

        Args:
            template: below `web/templates`.
            view: plain data; the template's variables.
            title: the page's name.
            status: of HTTP.
        """
        if wants_json(self.request):
            return JSONResponse(_jsonable(view), status, {"vary": "Accept, Cookie"})
        said = _said(self.request)
        around = {"page": self, "title": title, "said": said, "nav": self._nav(), "theme": _theme(self.request)}
        text = self.site.templates.get_template(template).render({**view, **around})
        answer = HTMLResponse(text, status, {"vary": "Accept, Cookie"})
        if said:
            answer.delete_cookie(_SAID, path=PREFIX)
        return answer

    def done(self, message: str, path: str) -> Response:
        """After a change: on to a page (below `PREFIX`) that says what happened."""
        if wants_json(self.request):
            return JSONResponse({"message": message, "next": f"{PREFIX}{path}"})
        answer = RedirectResponse(f"{PREFIX}{path}", HTTPStatus.SEE_OTHER)
        answer.set_cookie(_SAID, quote(message[:500]), max_age=60, path=PREFIX, httponly=True, samesite="strict")
        return answer

    def _nav(self) -> list[dict[str, Any]]:
        if self._person is None:
            return []
        person, path = self._person, self.request.scope["path"]
        return [
            {"label": each.label, "url": PREFIX + each.path, "key": each.key, "icon": each.icon,
             "here": path == PREFIX + each.path or path.startswith(f"{PREFIX}{each.path}/")}
            for each in self.site.nav
            if person.may(each.role)
        ]  # fmt: skip


def tried(action: Callable[[], Any]) -> tuple[Any, dict[str, Any]]:
    """What an action gave; and, if it was refused, what a form's page is to say (error, fix, status)."""
    try:
        return action(), {}
    except TiplineError as exc:
        return None, {"error": exc.what, "fix": exc.fix, "status": int(status_of(exc))}


def wants_json(request: Request) -> bool:
    """Whether JSON is asked for: by `?format=json`, or by an Accept that prefers it to HTML."""
    asked = request.query_params.get("format")
    if asked:
        return asked == "json"
    accept = request.headers.get("accept", "")
    return "application/json" in accept and "text/html" not in accept


def same_origin(request: Request) -> bool:
    """Whether a browser sent this from a page of ours (or it is no browser)."""
    site = request.headers.get("sec-fetch-site")
    if site is not None:
        return site in {"same-origin", "none"}
    origin = request.headers.get("origin")
    return origin is None or urlsplit(origin).netloc == request.headers.get("host")


def next_path(text: str) -> str:
    """Where to go after signing in: a path of ours (below `PREFIX`), whatever was asked for."""
    parts = urlsplit(text)
    ours = not parts.scheme and not parts.netloc and parts.path.startswith(f"{PREFIX}/") and "\\" not in text
    return text.removeprefix(PREFIX) if ours else "/overview"


def anybody(request: Request) -> Page:
    """A page for whoever comes, signed in or not.

    Raises:
        ForbiddenError: a change was sent from another site.
    """
    if request.method not in _SAFE and not same_origin(request):
        raise ForbiddenError("the form was sent from another site", fix="open the page here, and try again")
    site: Site = request.app.state.site
    return Page(site, request, site.door.person(request))


def _at_least(role: Role) -> Callable[..., Page]:
    def page(request: Request, form: Form) -> Page:
        found = anybody(request)
        if not found.person.may(role):
            raise ForbiddenError(f"this needs the role {role}", fix="ask an administrator")
        if request.method not in _SAFE:
            shown = form["csrf"] or request.headers.get("x-csrf-token", "")
            if not hmac.compare_digest(shown.encode(), found.person.csrf.encode()):
                raise ForbiddenError("the form is out of date", fix="reload the page, and try again")
        return found

    return page


Anybody = Annotated[Page, Depends(anybody)]
Reader = Annotated[Page, Depends(_at_least("reader"))]
Viewer = Annotated[Page, Depends(_at_least("viewer"))]
Analyst = Annotated[Page, Depends(_at_least("analyst"))]
Editor = Annotated[Page, Depends(_at_least("editor"))]
Admin = Annotated[Page, Depends(_at_least("admin"))]


def _jsonable(value: Any) -> Any:
    """Plain JSON: what has `as_dict` by that, the rest as operations answer."""
    if hasattr(value, "as_dict"):
        return _jsonable(value.as_dict())
    if isinstance(value, Mapping):
        return {str(key): _jsonable(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_jsonable(item) for item in value]
    if hasattr(value, "__dataclass_fields__"):
        return {name: _jsonable(getattr(value, name)) for name in value.__dataclass_fields__}
    return plain(value)


def _theme(request: Request) -> str:
    chosen = request.cookies.get("tipline-theme", "")
    return chosen if chosen in {"light", "dark"} else ""


def _said(request: Request) -> str:
    return unquote(request.cookies.get(_SAID, ""))[:500]
