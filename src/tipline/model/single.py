"""One value in a common shape, judged without a frame: a look-up cannot wait for one.

It uses the rules that frames use for what is not of a common shape, and says nothing where it is not sure.
"""

from __future__ import annotations

import re

from tipline.model import addresses, hashes, hosts, urls
from tipline.model.intervals import IPV4
from tipline.model.policy import Policy
from tipline.model.refang import DIRTY
from tipline.model.verdict import Rule, Verdict


def _compiled(pattern: str) -> re.Pattern[str]:
    """A pattern as Polars writes it, for Python."""
    return re.compile(pattern.replace(r"\z", r"\Z"))


_DIRTY = _compiled(DIRTY)
# The shapes of `detect.common_kind`, in its order.
_COMMON: tuple[tuple[re.Pattern[str], Rule], ...] = (
    (_compiled(IPV4), addresses.address),
    (re.compile(r"(?i:https?|ftp)://"), urls.url),
    (_compiled(hashes.ANY_HASH), hashes.hash_rule(None)),
    (_compiled(hosts.HOST), hosts.domain),
)
_LONGEST = 250


def judge_common(text: str, policy: Policy) -> Verdict | None:
    """What `conform` would say of a text without a type; None if this cannot tell, or it is refused."""
    if len(text) > min(_LONGEST, policy.max_value_length) or _DIRTY.search(text):
        return None
    for shape, rule in _COMMON:
        if shape.match(text):
            found = rule(text, policy)
            wanted = policy.types is None or found.type in policy.types
            return found if found.drop is None and wanted else None
    return None
