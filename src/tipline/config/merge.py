"""What one text of a configuration changes in another, node by node, and the same changes made in a third text."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Literal

from tipline.config.edit import drop_node, outline, put_node_text, put_setting, settings_of
from tipline.errors import ConfigError

Op = Literal["added", "changed", "removed"]
Side = Literal["ours", "theirs"]
Key = tuple[str, str]  # section and name; a setting of the whole file has no section


@dataclass(frozen=True)
class Change:
    """What became of one node, or of one setting of the whole file.

    Attributes:
        section: `sources`, `processors` or `outputs`; empty for a setting of the whole file.
        name: of the node or setting.
        before, after: its text (a setting's with its name); None: it is not there.
    """

    section: str
    name: str
    before: str | None
    after: str | None

    @property
    def op(self) -> Op:
        """What happened to it."""
        return "added" if self.before is None else "removed" if self.after is None else "changed"

    @property
    def key(self) -> Key:
        """Where it stands."""
        return self.section, self.name


@lru_cache(maxsize=8)
def parts(text: str) -> Mapping[Key, str]:
    """The text of every node and setting of a configuration, in its order.

    Raises:
        ConfigError: it is not a mapping in YAML.
    """
    return outline(text)


def changes(old: str, new: str) -> list[Change]:
    """What `new` changes in `old`, in the order of `new`; what went stands last.

    Raises:
        ConfigError: a text is not a mapping in YAML.
    """
    before, after = parts(old), parts(new)
    keys = [*after, *(key for key in before if key not in after)]
    return [Change(*key, before.get(key), after.get(key)) for key in keys if before.get(key) != after.get(key)]


def applied(text: str, wanted: Iterable[Change]) -> str:
    """A text with changes made in it.

    Raises:
        ConfigError: a change cannot be made: what goes is not there, or a name is taken.
    """
    for each in wanted:
        if not each.section:
            text = put_setting(text, each.name, each.after)
        elif each.after is None:
            text = drop_node(text, each.section, each.name)
        else:
            text = put_node_text(text, each.section, each.name, each.after, replace=True)
    return text


def clashes(ours: Iterable[Change], theirs: Iterable[Change]) -> list[tuple[Change, Change]]:
    """What two have changed differently: (ours, theirs). Two names are one, whatever their sections."""
    other = {each.name: each for each in theirs}
    pairs = [(each, other[each.name]) for each in ours if each.name in other]
    return [(one, two) for one, two in pairs if one.section != two.section or not _alike(one.after, two.after)]


def merged(base: str, ours: str, theirs: str, prefer: Mapping[str, Side]) -> tuple[str, list[tuple[Change, Change]]]:
    """What two made of one text, as one text: theirs with our changes in it.

    Args:
        base: what both began from.
        ours: what we made of it.
        theirs: what they made of it.
        prefer: whose change holds, by name, where both changed the same.

    Returns:
        The text, and what has to be preferred first (the text is theirs as long as there is any).

    Raises:
        ConfigError: a text is not a mapping in YAML.
    """
    mine, other = changes(base, ours), changes(base, theirs)
    undecided = [pair for pair in clashes(mine, other) if pair[0].name not in prefer]
    if undecided:
        return theirs, undecided
    changed = {each.name for each in other}
    return applied(theirs, [each for each in mine if each.name not in changed or prefer.get(each.name) == "ours"]), []


def _alike(one: str | None, two: str | None) -> bool:
    if one is None or two is None or one == two:
        return one == two
    try:
        return bool(settings_of(one) == settings_of(two))
    except ConfigError:
        return False
