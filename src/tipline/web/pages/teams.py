"""Administration: teams, and what each has."""

from __future__ import annotations

from urllib.parse import quote

from fastapi import APIRouter
from fastapi.responses import Response

from tipline.web.page import Admin, Form, Page, tried

router = APIRouter()


@router.get("/administration/teams")
def teams(page: Admin) -> Response:
    """The teams, and how much each has."""
    return _teams(page)


@router.post("/administration/teams")
def team_add(page: Admin, form: Form) -> Response:
    """Make a team."""
    wanted = {word: form[word] for word in ("name", "title")}
    _, refused = tried(lambda: page.operations.call("team_add", wanted))
    if refused:
        return _teams(page, given=wanted, **refused)
    return page.done(f"{form['name']} was made.", _team_path(form["name"]))


@router.get("/administration/teams/{name}")
def team(page: Admin, name: str) -> Response:
    """One team, and what it has."""
    return _team(page, name)


@router.post("/administration/teams/{name}")
def team_change(page: Admin, form: Form, name: str) -> Response:
    """Give a team another title."""
    _, refused = tried(lambda: page.operations.call("team_change", {"name": name, "title": form["title"]}))
    return _team(page, name, **refused) if refused else page.done(f"{name} was changed.", _team_path(name))


@router.post("/administration/teams/{name}/close")
def team_close(page: Admin, form: Form, name: str) -> Response:
    """Close a team, whose name was written out."""
    if form["name"] != name:
        return _team(page, name, error="the name that was written is another one", status=400)
    _, refused = tried(lambda: page.operations.call("team_close", {"name": name}))
    return _team(page, name, **refused) if refused else page.done(f"{name} was closed.", "/administration/teams")


def _team_path(name: str) -> str:
    return f"/administration/teams/{quote(name, safe='')}"


def _teams(
    page: Page, *, error: str = "", fix: str = "", given: dict[str, str] | None = None, status: int = 200
) -> Response:
    view = {
        **page.operations.call("teams", {}), "given": given or {"name": "", "title": ""}, "error": error, "fix": fix,
        "here": "teams",
    }  # fmt: skip
    return page.show("administration/teams.html", view, title="Teams", status=status)


def _team(page: Page, name: str, *, error: str = "", fix: str = "", status: int = 200) -> Response:
    view = {"team": page.operations.call("team", {"name": name}), "error": error, "fix": fix, "here": "teams"}
    return page.show("administration/team.html", view, title=name, status=status)
