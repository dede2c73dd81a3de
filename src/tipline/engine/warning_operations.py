"""Operations on warning lists: which there are and what stands on them; switched, added, fetched and taken out."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Any

from pydantic import Field
from ruamel.yaml.comments import CommentedMap

from tipline.config.check import NAME
from tipline.config.edit import edited
from tipline.config.warning_lists import Action, Category, WarningList, shipped
from tipline.durations import Duration, format_duration
from tipline.engine import warned, warning_refresh
from tipline.engine.configuration_operations import committed
from tipline.engine.configuring import Configuring
from tipline.engine.lookup import judge
from tipline.engine.operation import Base, operation
from tipline.engine.people import RequestError
from tipline.engine.times import iso
from tipline.sources.guardrails import mask_url
from tipline.store import warning_fetches
from tipline.store.warning_fetches import Fetched

_MOST = 1000
_MOST_VALUES = 10_000
Values = Annotated[list[str], Field(max_length=_MOST_VALUES)]
_CHANGEABLE = ("enabled", "action", "category")


class WarningOperations(Base):
    """Warning lists are the whole server's; hits are the asker's."""

    @operation
    def warning_lists(self) -> dict[str, Any]:
        """Every warning list as it is used, and how many indicators that the asker sees stand on it.

        Returns:
            lists (name, title, description, match, types, entries, enabled, action, category, own, hits, ...),
            recommended (whether those are used), drop (categories that drop).
        """
        settings = self.engine.configuration.settings.warning_lists
        found, fetched = warned.counts(self.engine, self.asker), warning_fetches.fetches(self.engine.control)
        lists = self.engine.graph.warning_lists.values()
        return {
            "lists": [self._as_used(each, found, fetched.get(each.name)) for each in lists],
            "recommended": settings.recommended,
            "drop": settings.drop,
        }

    @operation
    def warning_list(self, name: str) -> dict[str, Any]:
        """One warning list, with `sources`: how many indicators of each feed stand on it."""
        found = warned.counts(self.engine, self.asker)
        shown = self._as_used(self._wanted_list(name), found, warning_fetches.fetches(self.engine.control).get(name))
        by_source = found.by_source.get(name, {})
        ordered = sorted(by_source.items(), key=lambda pair: (-pair[1], pair[0]))
        return {**shown, "sources": [{"source": source, "indicators": count} for source, count in ordered]}

    @operation
    def warning_entries(
        self,
        name: str,
        text: str = Field(default="", max_length=2000),
        limit: int = Field(default=100, ge=1, le=_MOST),
        offset: int = Field(default=0, ge=0),
    ) -> dict[str, Any]:
        """Entries of a warning list, as they stand in it: all, or those with a text in them.

        Returns:
            entries, total (how many there are of these), next (the offset to go on from; nothing at the end).
        """
        found = self.engine.warnings.text(self._wanted_list(name))
        part = text.strip().casefold()
        entries = [each for each in (found.entries if found else ()) if part in each.casefold()]
        end = offset + limit
        return {"entries": entries[offset:end], "total": len(entries), "next": end if end < len(entries) else None}

    @operation
    def warning_check(self, values: Values) -> dict[str, Any]:
        """On which warning lists in use values stand, whether or not a feed claims them.

        Returns:
            values: for each, in order: asked, type, value, problem (why it is no indicator), lists.
        """
        judged = judge(values)
        with self.engine.lake.reading() as con:
            found = warned.standing(con, self.engine, judged)
        return {
            "values": [
                {"asked": asked, "type": each.type, "value": each.value, "problem": each.drop, "lists": lists}
                for asked, each, lists in zip(values, judged, found, strict=True)
            ]
        }

    @operation
    def warning_list_change(
        self,
        name: str,
        *,
        enabled: bool | None = None,
        action: Action | None = None,
        category: Category | None = None,
        base: int | None = None,
    ) -> dict[str, Any]:
        """Switch a warning list on or off, or have it tag or drop; what is not said stays. It is put to work."""
        self._everywhere()
        before = self._configured(self._wanted_list(name))
        given = {"enabled": enabled, "action": action, "category": category}
        changes = {word: value for word, value in given.items() if value is not None}
        if not changes:
            raise RequestError("nothing is to be changed", fix=f"say one of {', '.join(_CHANGEABLE)}")

        def change(lists: CommentedMap) -> None:
            if not isinstance(lists.get(name), CommentedMap):
                lists[name] = CommentedMap()
                lists[name].fa.set_flow_style()
            lists[name].update(changes)

        done = self._put_lists(change, f"warning list {name} changed", base)
        return self._told("warning list change", name, before, done)

    @operation
    def warning_list_add(
        self,
        name: str,
        url: str = Field(min_length=1, max_length=8000),
        *,
        every: Duration | None = None,
        action: Action | None = None,
        category: Category | None = None,
        base: int | None = None,
    ) -> dict[str, Any]:
        """Add a list of your own, in the form of MISP's list.json, and fetch it.

        Args:
            name: of the list; that of a list that ships, to take its place.
            url: address, or path of a file.
            every: time between fetches; a day if not given.
            action: what is done with indicators on it; tag if not given.
            category: of what sort it is.
            base: the version of the configuration that this began from; the newest.
        """
        self._everywhere()
        if not NAME.fullmatch(name):
            raise RequestError(f"{name[:100]!r} is no name for a list", fix="use letters, digits, - _ and .")
        if name in warning_refresh.own(self.engine):
            raise RequestError(f"there is a list {name} of your own already", fix="choose another name, or remove it")
        settings: dict[str, Any] = {
            "url": url, "every": format_duration(every) if every else None, "action": action, "category": category,
        }  # fmt: skip

        def change(lists: CommentedMap) -> None:
            lists[name] = CommentedMap({word: value for word, value in settings.items() if value is not None})

        done = self._put_lists(change, f"warning list {name} added", base)
        fetched = self._fetch_lists([name], approve=False)
        return {**self._told("warning list add", name, None, done), **fetched}

    @operation
    def warning_list_remove(self, name: str, base: int | None = None) -> dict[str, Any]:
        """Take a list of your own out; one that ships under its name comes back as it shipped."""
        self._everywhere()
        if name not in warning_refresh.own(self.engine):
            raise RequestError(f"{name[:100]} is no list of your own", fix="lists that ship are switched off")
        before = self._configured(self._wanted_list(name))
        done = self._put_lists(lambda lists: lists.pop(name, None), f"warning list {name} removed", base)
        warning_refresh.forget_others(self.engine)
        self._note("warning list remove", name, before=before, after=None)
        return {"removed": name, **done}

    @operation
    def warning_lists_set(
        self, *, recommended: bool | None = None, drop: list[Category] | None = None, base: int | None = None
    ) -> dict[str, Any]:
        """Whether the recommended lists are used, and which categories drop; what is not said stays."""
        self._everywhere()
        settings = self.engine.configuration.settings.warning_lists
        before = {"recommended": settings.recommended, "drop": settings.drop}
        given = {"recommended": recommended, "drop": drop}
        changes = {word: value for word, value in given.items() if value is not None}
        if not changes:
            raise RequestError("nothing is to be changed", fix="say recommended or drop")
        done = self._put_section(lambda section: section.update(changes), "warning lists changed", base)
        self._note("warning lists set", "warning lists", before=before, after={**before, **changes})
        return {**before, **changes, **done}

    @operation
    def warning_list_refresh(self, name: str, *, approve: bool = False) -> dict[str, Any]:
        """Fetch a list of your own now; with `approve`, what differs much from what there was is taken in, too."""
        self._everywhere()
        if name not in warning_refresh.own(self.engine):
            raise RequestError(f"{name[:100]} is no list of your own", fix="lists that ship come with tipline")
        self._note("warning list refresh", name, approve=approve)
        return {**self._fetch_lists([name], approve=approve), "list": self.warning_list(name)}

    def _wanted_list(self, name: str) -> WarningList:
        lists = self.engine.graph.warning_lists
        self._known(name, list(lists), "warning list")
        return lists[name]

    def _as_used(self, wanted: WarningList, found: warned.Counts, fetched: Fetched | None) -> dict[str, Any]:
        text, entries = (wanted.shipped is None and self.engine.warnings.about(wanted)) or (None, 0)
        facts = wanted.shipped or text
        own = wanted.settings
        return {
            **self._configured(wanted),
            "title": facts.title if facts else wanted.name,
            "description": facts.description if facts else "",
            "version": facts.version if facts else "",
            "match": facts.match if facts else None,
            "types": list(facts.types) if facts else [],
            "entries": wanted.shipped.entries if wanted.shipped else entries,
            "recommended": wanted.shipped is not None and wanted.shipped.recommended,
            "ships": wanted.name in shipped(),
            "hits": found.lists.get(wanted.name, 0) if wanted.enabled else 0,
            "every": own and own.every,
            "fetched": fetched and fetched.fetched and iso(fetched.fetched),
            "failing_since": fetched and fetched.failing_since and iso(fetched.failing_since),
            "message": fetched.message if fetched else "" if own is None or text else "it was not fetched yet",
        }

    def _configured(self, wanted: WarningList) -> dict[str, Any]:
        """A list as it is configured."""
        return {
            "name": wanted.name, "enabled": wanted.enabled, "action": wanted.action, "category": wanted.category,
            "own": wanted.settings is not None, "tag": wanted.tag,
            "url": [mask_url(url) for url in wanted.settings.url] if wanted.settings else [],
        }  # fmt: skip

    def _put_lists(self, change: Callable[[CommentedMap], object], message: str, base: int | None) -> dict[str, Any]:
        """Change the lists in the configuration's text, and put that to work."""

        def section(found: CommentedMap) -> None:
            if not isinstance(found.get("lists"), CommentedMap):
                found["lists"] = CommentedMap()
            change(found["lists"])

        return self._put_section(section, message, base)

    def _put_section(self, change: Callable[[CommentedMap], object], message: str, base: int | None) -> dict[str, Any]:
        def whole(document: CommentedMap) -> None:
            if not isinstance(document.get("warning_lists"), CommentedMap):
                document["warning_lists"] = CommentedMap()
            change(document["warning_lists"])

        configuring = Configuring(self.scheduler, self.asker)
        base, user = configuring.newest().number if base is None else base, self.asker.name or "local"
        return committed(configuring.change(lambda text: edited(text, whole), message, base=base, user=user))

    def _told(self, action: str, name: str, before: dict[str, Any] | None, done: dict[str, Any]) -> dict[str, Any]:
        after = self._configured(self._wanted_list(name))
        self._note(action, name, before=before, after=after)
        return {"list": self.warning_list(name), **done}

    def _fetch_lists(self, names: list[str], *, approve: bool) -> dict[str, Any]:
        (done,) = warning_refresh.refresh(self.engine, names, approve=approve)
        if done.changed:
            self.scheduler.changed(list(self.engine.graph.outputs))
        return {"changed": done.changed, "message": done.message}
