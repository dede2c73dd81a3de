"""Administration: backups in the data directory."""

from __future__ import annotations

from fastapi import APIRouter
from fastapi.responses import FileResponse, Response

from tipline.web.page import Admin, Page, tried

router = APIRouter()


@router.get("/administration/backups")
def backups(page: Admin) -> Response:
    """Backups in the data directory."""
    return _backups(page)


@router.post("/administration/backups")
def backup(page: Admin) -> Response:
    """Make a backup."""
    made, refused = tried(lambda: page.operations.call("backup", {}))
    return _backups(page, **refused) if refused else page.done(f"{made['name']} is whole.", "/administration/backups")


@router.get("/administration/backups/{name}")
def backup_file(page: Admin, name: str) -> Response:
    """The file of a backup."""
    found = page.operations.call("backup_taken", {"name": name})
    return FileResponse(found["path"], media_type="application/zstd", filename=name)


@router.post("/administration/backups/{name}/remove")
def backup_remove(page: Admin, name: str) -> Response:
    """Delete a backup."""
    page.operations.call("backup_remove", {"name": name})
    return page.done(f"{name} was deleted.", "/administration/backups")


def _backups(page: Page, *, error: str = "", fix: str = "", status: int = 200) -> Response:
    view = {**page.operations.call("backups", {}), "error": error, "fix": fix, "here": "backups"}
    return page.show("administration/backups.html", view, title="Backups", status=status)
