"""Operations on overrides: how people want single indicators of an output to be at its far side."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, cast

import polars as pl
from pydantic import BaseModel, ConfigDict, Field

from tipline.durations import parse_duration
from tipline.engine import overriding
from tipline.engine.delivering import Delivering
from tipline.engine.far_listing import last_listing
from tipline.engine.operation import operation
from tipline.engine.paths import canonical
from tipline.engine.people import RequestError
from tipline.outputs.delivery import Delivered
from tipline.store import overrides
from tipline.store.overrides import Override
from tipline.store.receipts import NO, by_keys
from tipline.store.schema import published_table

_MOST = 1000
_Row = dict[str, Any]


class Changes(BaseModel):
    """What is set for an indicator, in the far side's words; what is left out stays as the output's settings say."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    action: str | None = Field(default=None, max_length=40, description="What the far side does on a match.")
    severity: str | None = Field(default=None, max_length=40, description="Of the alert.")
    title: str | None = Field(default=None, max_length=200, description="Of the alert.")
    expires: str | None = Field(
        default=None,
        max_length=40,
        description="When the far side forgets the indicator: a moment (ISO 8601), or from now, such as 7d.",
        examples=["7d"],
    )


@dataclass(frozen=True)
class _About:
    """An indicator of a delivered output."""

    output: str
    kind: Delivered
    type: str
    value: str
    key: str


class OverrideOperations(Delivering):
    """What people ask of overrides."""

    @operation
    def overrides(
        self,
        output: str | None = None,
        text: str = "",
        limit: int = Field(default=100, ge=1, le=_MOST),
        after: tuple[str, str] | None = None,
    ) -> _Row:
        """The overrides of an output, or of all, in the order of output and key.

        Args:
            output: a delivered output.
            text: a part of the value, the reason or who set it.
            limit: how many at most.
            after: output and key of the last one of the page before.

        Returns:
            overrides, each with state (`in force`, `held back`: it would block what is never blocked, `idle`: the
            indicator is not published now, `ended`) and note; and next: what to go on after.
        """
        names = self._delivered(output)
        found = overrides.listed(self.engine.control, names, limit + 1, text=text, after=after)
        last = found[limit - 1] if len(found) > limit else None
        rows: list[_Row] = []
        for name in dict.fromkeys(name for name, _ in found[:limit]):
            rows += self._overrides_shown(name, [override for of, override in found[:limit] if of == name])
        return {"overrides": rows, "next": [last[0], last[1].key] if last else None}

    @operation
    def override_of(self, output: str, value: str, type: str | None = None) -> _Row:
        """How people want one indicator of an output to be; `override` is null if they want nothing."""
        about = self._indicator(output, value, type)
        found = overrides.one(self.engine.control, output, about.key)
        (shown,) = self._overrides_shown(output, [found]) if found else [None]
        return {"output": output, "type": about.type, "value": about.value, "key": about.key, "override": shown}

    @operation
    def override(
        self,
        output: str,
        value: str,
        changes: Changes,
        reason: str = Field(min_length=1, max_length=2000),
        type: str | None = None,
        until: str | None = Field(default=None, max_length=40),
        user: str = "",
        *,
        confirmed: bool = False,
    ) -> _Row:
        """Set how one indicator of an output is to be at its far side, whatever its sources and the settings say.

        Args:
            output: the delivered output.
            value: the indicator, in any spelling.
            changes: what is set; it takes the place of what was set before.
            reason: why; kept with it.
            type: of the indicator; detected if not given.
            until: when the override ends: a moment (ISO 8601), or from now, such as 7d; never if not given.
            user: who does it.
            confirmed: needed for an action that blocks or lets through.
        """
        about = self._indicator(output, value, type)
        _, user = self._acting(None, user)
        control, now = self.engine.control, self.engine.clock()
        expires, end = self._moment_to_come("expires", changes.expires), self._moment_to_come("until", until)
        wanted = Override(
            about.key, about.type, about.value, changes.action, changes.severity, changes.title, expires,
            reason=reason, actor=user or "local", at=now, until=end,
        )  # fmt: skip
        self._can_be(about, wanted, confirmed=confirmed)
        before = overrides.one(control, output, about.key)
        with control.transaction() as con:
            overrides.put(con, output, wanted)
        self._overridden("override", about, before, wanted, user)
        return {**self.override_of(output, about.value, about.type), "before": _plain(before) if before else None}

    @operation
    def override_remove(
        self,
        output: str,
        value: str,
        type: str | None = None,
        user: str = "",
    ) -> _Row:
        """Take an override back: the indicator is as the output's settings say again."""
        about = self._indicator(output, value, type)
        before = overrides.one(self.engine.control, output, about.key)
        if before is None:
            raise RequestError(f"nothing is set for {about.value} at {output}", fix="see `tipline override list`")
        with self.engine.control.transaction() as con:
            overrides.drop(con, output, about.key)
        self._overridden("override remove", about, before, None, user)
        return {"output": output, "removed": _plain(before)}

    def _can_be(self, about: _About, wanted: Override, *, confirmed: bool) -> None:
        """Check that an override can be, and may be.

        Raises:
            RequestError: it cannot; the message says why, and what to do.
        """
        if not wanted.changes:
            raise RequestError("nothing is set", fix="say an action, a severity, a title or when it expires")
        refused = about.kind.refuses(wanted)
        if refused:
            raise RequestError(f"{wanted.value} cannot be so: {refused}", where=about.output)
        self._is_ours(about, wanted)
        with self.engine.lake.reading() as con:
            never = overriding.never_blocked(con, self.engine.graph, about.output, [wanted], self.engine.clock())
        if never:
            raise RequestError(
                f"{wanted.value} must never be blocked ({never[about.key].removeprefix('allowed by ')})",
                fix="take it off `organisation:` first, if it is your own",
            )
        does = about.kind.drastic(wanted)
        if does and not confirmed:
            raise RequestError(
                f"{wanted.action} {does} {wanted.value} everywhere that {about.output} reaches",
                fix="confirm it (`--yes`, or `confirmed`)",
            )

    def _is_ours(self, about: _About, wanted: Override) -> None:
        """Raises unless the indicator is published by the output, and its item there is or will be ours alone."""
        others = last_listing(self.engine, about.output).filter(pl.col("key").is_null())
        foreign = others.filter(type=about.type, value=about.value).to_dicts()
        adopt = f"adopt it first: `tipline adopt {about.output}`"
        receipt = by_keys(self.engine.control, about.output, [about.key]).get(about.key)
        if receipt is not None and receipt.holds != NO and receipt.detail.get("foreign"):
            raise RequestError(f"the item on {about.value} is somebody else's", where=about.output, fix=adopt)
        if not self._publishes(about):
            if foreign:
                what = f"the item on {about.value} is somebody else's ({foreign[0]['by'] or 'unknown'})"
                raise RequestError(what, where=about.output, fix=adopt)
            raise RequestError(
                f"{about.output} does not publish {about.value}", fix=f"see why: `tipline why {about.value}`"
            )
        identity = about.kind.identity_with(wanted, self._instance)
        for name in self._beside(about):
            theirs = by_keys(self.engine.control, name, [about.key]).get(about.key)
            if theirs is not None and theirs.holds != NO and theirs.identity == identity:
                other = name if name in self._seen() else "another output"
                what = f"{other} has an item on {about.value} just like that, and the two would undo each other"
                raise RequestError(what, where=about.output, fix="leave it to that output")
        for row in foreign:
            if row["identity"] == identity:
                what = f"{row['by'] or 'somebody else'} has made an item on {about.value} just like that"
                raise RequestError(what, where=about.output, fix=adopt)

    def _beside(self, about: _About) -> list[str]:
        """Other outputs that write to the same far side."""
        mine = (about.kind.territory() or ())[:2]
        others = {name: kind for name, kind in self.engine.graph.outputs.items() if name != about.output}
        return [name for name, kind in others.items() if mine and (kind.territory() or ())[:2] == mine]

    def _publishes(self, about: _About) -> bool:
        table = published_table(self.engine.graph.ids[about.output])
        with self.engine.lake.reading() as con:
            return con.execute(f"SELECT 1 FROM {table} WHERE key = ?::UUID LIMIT 1", [about.key]).fetchone() is not None

    def _indicator(self, output: str, value: str, type_: str | None) -> _About:
        self._delivered(output)
        kind = cast("Delivered", self.engine.graph.outputs[output])
        asked = canonical(value, type_)
        return _About(output, kind, asked.type, asked.value, asked.key.hex)

    def _overrides_shown(self, output: str, found: list[Override]) -> list[_Row]:
        """Overrides of one output as people see them, with what has become of them."""
        now, graph = self.engine.clock(), self.engine.graph
        table = published_table(graph.ids[output])
        with self.engine.lake.reading() as con:
            never = overriding.never_blocked(con, graph, output, found, now)
            listed = ", ".join(f"'{each.key}'::UUID" for each in found)
            query = f"SELECT replace(key::VARCHAR, '-', '') FROM {table} WHERE key IN ({listed})"
            published = {key for (key,) in con.execute(query).fetchall()}
        rows = []
        for each in found:
            state, note = "in force", ""
            if each.until is not None and each.until <= now:
                state = "ended"
            elif each.key in never:
                state, note = "held back", f"never blocked: {never[each.key].removeprefix('allowed by ')}"
            elif each.key not in published:
                state, note = "idle", f"{output} does not publish it now"
            rows.append({"output": output, **_plain(each), "state": state, "note": note})
        return rows

    def _overridden(
        self, action: str, about: _About, before: Override | None, after: Override | None, user: str
    ) -> None:
        """To the audit log; and the delivery is to look."""
        sides = {"before": _plain(before) if before else None, "after": _plain(after) if after else None}
        self._note(action, f"{about.output}: {about.value}", **sides, **({"user": user} if user else {}))
        self._deliver([about.output])

    def _moment_to_come(self, name: str, text: str | None) -> datetime | None:
        """A moment to come, as it was asked for."""
        if text is None:
            return None
        now = self.engine.clock()
        try:
            found = now + parse_duration(text)
        except ValueError:
            try:
                found = datetime.fromisoformat(text)
            except ValueError:
                raise RequestError(f"{name}: {text!r} is no moment", fix="write 7d, or 2026-03-31T18:00Z") from None
        except OverflowError:
            raise RequestError(f"{name}: {text!r} is too far away", fix="write 7d, or 2026-03-31T18:00Z") from None
        if found.tzinfo is not None:
            found = found.astimezone(UTC).replace(tzinfo=None)
        if found <= now:
            raise RequestError(f"{name}: {text} is over", fix="say a moment to come")
        return found.replace(microsecond=0)

    @property
    def _instance(self) -> str:
        return self.engine.configuration.settings.instance


def _plain(override: Override) -> _Row:
    words = ("key", "type", "value", "action", "severity", "title", "expires", "reason", "at", "until")
    return {**{word: getattr(override, word) for word in words}, "by": override.actor}
