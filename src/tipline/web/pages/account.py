"""Coming and going: sign-in, sign-out, and the first visit that makes the first administrator."""

from __future__ import annotations

from http import HTTPStatus
from typing import Any

from fastapi import APIRouter
from fastapi.responses import JSONResponse, RedirectResponse, Response

from tipline.errors import TiplineError
from tipline.http_problems import status_of
from tipline.model.strength import LEAST_LENGTH
from tipline.web.page import Anybody, Form, Page, Viewer, next_path
from tipline.web.site import PREFIX

router = APIRouter()


@router.get("/")
def home() -> Response:
    """The overview is where one begins."""
    return RedirectResponse(f"{PREFIX}/overview", HTTPStatus.SEE_OTHER)


@router.get("/session")
def session(page: Viewer) -> Response:
    """Who is signed in; 401 if nobody is."""
    person = page.person
    return JSONResponse({"name": person.name, "role": person.role, "team": person.team})


@router.get("/sign-in")
def sign_in(page: Anybody, next: str = "") -> Response:  # noqa: A002 - as in the address
    """The sign-in form."""
    if page.site.door.is_new():
        return RedirectResponse(f"{PREFIX}/first-visit", HTTPStatus.SEE_OTHER)
    if page.signed_in:
        return _go(next_path(next))
    return _sign_in_form(page, next=next)


@router.post("/sign-in")
def signed_in(page: Anybody, form: Form) -> Response:
    """Check name and password; then on to where one was going."""
    answer = _go(next_path(form["next"]))
    try:
        page.site.door.enter(page.request, answer, name=form["name"], password=form["password"])
    except TiplineError as exc:
        return _sign_in_form(page, next=form["next"], name=form["name"], error=str(exc), status=status_of(exc))
    return answer


@router.post("/sign-out")
def sign_out(page: Viewer) -> Response:
    """End the session."""
    answer = RedirectResponse(f"{PREFIX}/sign-in", HTTPStatus.SEE_OTHER)
    page.site.door.leave(page.request, answer)
    return answer


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


def _sign_in_form(page: Page, *, next: str, name: str = "", error: str = "", status: int = 200) -> Response:  # noqa: A002
    ways = [{"label": label, "address": address} for label, address in page.site.door.ways()]
    view: dict[str, Any] = {"next": next, "name": name, "error": error, "ways": ways}
    return page.show("account/sign_in.html", view, title="Sign in", status=status)


def _first_visit_form(page: Page, token: str = "", name: str = "", error: str = "", status: int = 200) -> Response:
    view = {"token": token, "name": name, "error": error, "least": LEAST_LENGTH}
    return page.show("account/first_visit.html", view, title="First visit", status=status)
