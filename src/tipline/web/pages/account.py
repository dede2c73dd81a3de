"""Coming and going: sign-in, sign-out, and the first visit that makes the first administrator."""

from __future__ import annotations

from http import HTTPStatus
from typing import Any
from urllib.parse import quote, urlencode

from fastapi import APIRouter
from fastapi.responses import JSONResponse, RedirectResponse, Response

from tipline.errors import TiplineError
from tipline.http_problems import status_of
from tipline.model.strength import LEAST_LENGTH
from tipline.web.page import Anybody, Form, Page, Reader, next_path
from tipline.web.site import PREFIX

router = APIRouter()


@router.get("/")
def home() -> Response:
    """The overview is where one begins."""
    return RedirectResponse(f"{PREFIX}/overview", HTTPStatus.SEE_OTHER)


@router.get("/session")
def session(page: Reader) -> Response:
    """Who is signed in, and what their forms have to repeat; 401 if nobody is."""
    person = page.person
    return JSONResponse({"name": person.name, "role": person.role, "team": person.team, "csrf": person.csrf})


@router.get("/sign-in")
def sign_in(page: Anybody, next: str = "", left: str = "") -> Response:
    """The sign-in form; `left`: who vouched for whoever has just signed out."""
    if page.site.door.is_new():
        return RedirectResponse(f"{PREFIX}/first-visit", HTTPStatus.SEE_OTHER)
    if page.signed_in:
        return _go(next_path(next))
    return _sign_in_form(page, way=next, left=left)


@router.post("/sign-in")
def signed_in(page: Anybody, form: Form) -> Response:
    """Check name and password; then on to where one was going."""
    answer = _go(next_path(form["next"]))
    try:
        page.site.door.enter(page.request, answer, name=form["name"], password=form["password"])
    except TiplineError as exc:
        return _sign_in_form(page, way=form["next"], name=form["name"], error=str(exc), status=status_of(exc))
    return answer


@router.post("/sign-out")
def sign_out(page: Reader) -> Response:
    """End the session."""
    issuer = page.person.issuer
    answer = _go(f"/sign-in?left={quote(issuer)}" if issuer else "/sign-in")
    page.site.door.leave(page.request, answer)
    return answer


@router.get("/sign-on/{issuer}")
def sign_on(page: Anybody, issuer: str, next: str = "") -> Response:
    """On to an issuer that vouches for people."""
    try:
        return page.site.door.send(page.request, issuer, next)
    except TiplineError as exc:
        return _sign_in_form(page, way=next, error=str(exc), status=status_of(exc))


@router.get("/sign-on/{issuer}/back")
def signed_on(page: Anybody, issuer: str) -> Response:
    """Back from an issuer; then on to where one was going."""
    answer = _go("/overview")
    try:
        way = page.site.door.arrive(page.request, answer, issuer)
    except TiplineError as exc:
        return _sign_in_form(page, error=str(exc), status=status_of(exc))
    answer.headers["location"] = f"{PREFIX}{next_path(way)}"
    return answer


@router.post("/sign-on/{issuer}/logout")
def signed_off(page: Anybody, form: Form, issuer: str) -> Response:
    """An issuer says that somebody has signed out there (back-channel logout)."""
    try:
        ended = page.site.door.end(page.request, issuer, form["logout_token"])
    except TiplineError as exc:
        told = {"error": "invalid_request", "error_description": str(exc)}
        return JSONResponse(told, HTTPStatus.BAD_REQUEST)
    return JSONResponse({"ended": ended})


@router.get("/first-visit")
def first_visit(page: Anybody, token: str = "") -> Response:
    """The form that makes the first administrator; gone once there is one."""
    if not page.site.door.is_new():
        return _go("/overview")
    return _first_visit_form(page, token=token)


@router.post("/first-visit")
def begun(page: Anybody, form: Form) -> Response:
    """Make the first administrator, and sign them in."""
    answer = _go("/overview")
    token, name, password = form["token"], form["name"], form["password"]
    if password != form["again"]:
        return _first_visit_form(page, token, name, "the two passwords differ", HTTPStatus.BAD_REQUEST)
    try:
        page.site.door.begin(page.request, answer, token=token, name=name, password=password)
    except TiplineError as exc:
        return _first_visit_form(page, token, name, str(exc), status_of(exc))
    if page.site.operations.call("start_begin", {})["open"]:
        answer.headers["location"] = f"{PREFIX}/start"
    return answer


def _go(path: str) -> RedirectResponse:
    return RedirectResponse(f"{PREFIX}{path}", HTTPStatus.SEE_OTHER)


def _sign_in_form(
    page: Page,
    *,
    way: str = "",
    name: str = "",
    error: str = "",
    left: str = "",
    status: int = 200,
) -> Response:
    door, query = page.site.door, f"?{urlencode({'next': way})}" if way else ""
    view: dict[str, Any] = {
        "next": way, "name": name, "error": error, "passwords": door.passwords(), "leaving": _leaving(page, left),
        "ways": [{"label": label, "address": address + query} for label, address in door.ways()],
    }  # fmt: skip
    return page.show("account/sign_in.html", view, title="Sign in", status=status)


def _leaving(page: Page, issuer: str) -> str | None:
    """Where somebody who has signed out here can do so at their issuer, too."""
    try:
        return page.site.door.leaving(page.request, issuer) if issuer else None
    except TiplineError:
        return None


def _first_visit_form(page: Page, token: str = "", name: str = "", error: str = "", status: int = 200) -> Response:
    ways = [{"label": label, "address": address} for label, address in page.site.door.ways()]
    view = {"token": token, "name": name, "error": error, "least": LEAST_LENGTH, "ways": ways}
    return page.show("account/first_visit.html", view, title="First visit", status=status)
