"""Lists served over HTTP: what firewalls, proxies, SIEMs and other feed programs fetch."""

from __future__ import annotations

from typing import ClassVar, Literal

from pydantic import Field

from tipline.kinds import NodeSettings
from tipline.outputs.access import AccessSettings
from tipline.outputs.base import Carries, Output
from tipline.outputs.publishing import PublishTarget
from tipline.outputs.render.dialect import FORMULAS_HELP, Formulas


class ListSettings(AccessSettings):
    """Settings of `list`."""

    formulas: Formulas = Field(
        default="escape",
        description=FORMULAS_HELP,
    )
    compat: Literal["none", "minemeld"] = Field(
        default="none",
        description="minemeld: as MineMeld wrote it, also where that was wrong; as ?compat=minemeld does.",
    )
    publish_to: list[PublishTarget] = Field(
        default_factory=list,
        description="Folders and buckets that get it as files, for any number of readers; `access` is not asked there.",
    )


class ListKind(Output):
    """Serves indicators at /feeds/<name>, in the dialect that its reader asks for."""

    kind: ClassVar[str] = "list"
    Settings: ClassVar[type[NodeSettings]] = ListSettings
    settings: ListSettings
    carries: ClassVar[Carries] = Carries(
        types="all; a dialect those that its readers know",
        confidence="csv, json and some dialects",
        tlp="csv, json and some dialects; max_tlp filters",
        expiry="csv and json (`valid_until`)",
        removal="it is no longer in the list",
        limits="each dialect's own",
    )
    example: ClassVar[str] = """\
kind: list
inputs: inbound
where: confidence >= 75
"""
