"""Lists: what whoever is signed in may read, at which addresses, and how; all that feed readers see."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter
from fastapi.responses import Response

from tipline.engine.served import addresses, reader_of, served
from tipline.model.tlp import name as tlp_name
from tipline.web.page import Page, Reader
from tipline.web.site import Nav

router = APIRouter()
NAV = Nav("Lists", "/lists", key="l", order=65, icon="book", role="reader")


@router.get("/lists")
def lists(page: Reader) -> Response:
    """Lists, TAXII collections and MISP feeds."""
    nodes = {each["name"]: each for each in page.operations.call("status", {})["nodes"]}
    names = [name for name in served(page.engine) if _shown(page, name)]
    view = {
        "lists": [_one(page, name, nodes.get(name, {})) for name in names],
        "person": {"name": page.person.name, "role": page.person.role, "team": page.person.team},
        "address": str(page.request.base_url).removesuffix("/").removesuffix("/ui"),
    }
    return page.show("lists/index.html", view, title="Lists")


def _shown(page: Page, name: str) -> bool:
    """Whether somebody is told of an output: they may read it, or look after it."""
    return page.site.door.reads(page.request, name) or (page.person.may("viewer") and page.sees(name))


def _one(page: Page, name: str, node: dict[str, Any]) -> dict[str, Any]:
    settings = served(page.engine)[name]
    paths = addresses(page.engine, name)
    forms = [{"form": form, "reader": reader_of(form), "path": path} for form, path in paths.items()]
    return {
        "name": name, "kind": page.engine.graph.outputs[name].kind, "access": settings.access,
        "open": page.site.door.reads(page.request, name), "indicators": node.get("indicators"),
        "changed": node.get("last_run"), "forms": forms, "max_tlp": tlp_name(settings.max_tlp),
        "title": getattr(settings, "title", "") or settings.note,
    }  # fmt: skip
