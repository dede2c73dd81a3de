"""Collections served over TAXII 2.1, 2.0 and 1.1: what SIEMs and other threat-intelligence platforms pull from."""

from __future__ import annotations

import json
import uuid
from datetime import timedelta
from typing import ClassVar

from pydantic import Field

from tipline.durations import Duration
from tipline.kinds import NodeSettings
from tipline.microsoft.stix import NAMESPACE, pattern_for
from tipline.model.types import TYPES
from tipline.outputs.access import AccessSettings
from tipline.outputs.base import Carries, Output, unsupported
from tipline.processors.base import Reach
from tipline.processors.iptext import to_cidrs
from tipline.store.schema import OBJECT, VIEW_COLUMNS

_TYPES = sorted(name for name in TYPES if pattern_for(name, "1"))
_OF_THE_SERVER = {"seq", "stamp", "id", "key", "since", "removed"}

_DEFAULT_TEAM, DEFAULT_ROOT = "default", "api"
# The default team's root is `api`; should a team be called so, it has the name that is then free.
_ROOTS = {_DEFAULT_TEAM: DEFAULT_ROOT, DEFAULT_ROOT: _DEFAULT_TEAM}


class TaxiiSettings(AccessSettings):
    """Settings of `taxii`."""

    title: str = Field(default="", description="The collection's title; its name unless set.")
    description: str = Field(default="", description="What the collection holds, for people.")
    keep_removed: Duration = Field(
        default=timedelta(days=7),
        description="How long an indicator that left is served as revoked (at most store.retention): readers"
        " must poll more often.",
    )
    lifetime: Duration | None = Field(
        default=None,
        description="An indicator without an end of its own ends so long after its last change (Sentinel's"
        " rules match only what has an end); unset: it has none.",
    )
    indicator_types: list[str] = Field(
        default_factory=lambda: ["malicious-activity"],
        min_length=1,
        description="STIX indicator_types where no threat type is known.",
    )


class TaxiiKind(Output):
    """Serves indicators as a collection over TAXII 2.1 and 2.0 at /taxii2/, and over TAXII 1.1."""

    kind: ClassVar[str] = "taxii"
    Settings: ClassVar[type[NodeSettings]] = TaxiiSettings
    settings: TaxiiSettings
    reach: ClassVar[Reach] = "interval"
    types: ClassVar[frozenset[str] | None] = frozenset(_TYPES)
    paged: ClassVar[bool] = True
    carries: ClassVar[Carries] = Carries(
        types="those with a STIX pattern",
        confidence="0 to 100",
        tlp="marking",
        expiry="`valid_until`",
        removal="revoked, for `keep_removed`",
        limits="ranges become CIDRs",
    )
    example: ClassVar[str] = """\
kind: taxii
inputs: inbound
title: Indicators of the CERT
"""

    def shown(self) -> list[str]:
        """What an object says: never `first_seen`, which feeds change without meaning."""
        return sorted(set(OBJECT) - _OF_THE_SERVER)

    def shape(self, relation: str, as_of: str) -> str:
        """Ranges as CIDRs, and a reason for what STIX has no pattern for."""
        why = unsupported(_TYPES, "STIX has no pattern for")
        return f"SELECT {VIEW_COLUMNS}, {why} AS dropped FROM ({to_cidrs(relation)})"

    def collection_id(self, instance: str) -> str:
        """The collection's identifier: the same for ever for the same instance and name."""
        return collection_id(instance, self.name)


def root_of(team: str) -> str:
    """The last part of the address of a team's API root."""
    return _ROOTS.get(team, team)


def collection_id(instance: str, name: str) -> str:
    """The identifier of the collection that a node is."""
    return str(uuid.uuid5(NAMESPACE, json.dumps(["collection", instance, name])))
