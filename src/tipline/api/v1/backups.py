"""Backups: made while everything runs, listed, sent as a file, deleted. For admins."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Path
from fastapi.responses import FileResponse

from tipline.api.v1.asking import Managing

router = APIRouter(tags=["backups"])
Name = Annotated[str, Path(max_length=200)]


@router.get("/backups")
def backups(asked: Managing) -> dict[str, Any]:
    """The backups in the data directory, newest first, and what is in none of them."""
    return asked.call("backups")


@router.post("/backups", status_code=201)
def backup(asked: Managing) -> dict[str, Any]:
    """Make one; the answer comes when it is whole."""
    return asked.call("backup")


@router.get("/backups/{name}", response_class=FileResponse)
def download(asked: Managing, name: Name) -> FileResponse:
    """The file itself. Whoever has it has everything but the key of the secrets."""
    found = asked.call("backup_taken", name=name)
    return FileResponse(found["path"], media_type="application/zstd", filename=name)


@router.delete("/backups/{name}")
def backup_remove(asked: Managing, name: Name) -> dict[str, Any]:
    """Delete one."""
    return asked.call("backup_remove", name=name)
