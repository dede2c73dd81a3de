"""The filter language: a small, safe expression over an indicator's attributes, compiled to SQL.

    confidence >= 75 and type in ('ipv4', 'ipv6') and 'phish' in tags and age < 30d

* Fields: type value host confidence tlp actionable direction description sources tags threat_types
  references size (addresses in a range) first_seen last_seen valid_until added, age (since first_seen, else
  added), seen_age (since last_seen, else added), and `extra.<name>` for anything else a source said.
* `==` (or `=`), `!=`, `<`, `<=`, `>`, `>=`, `in (…)`, `not in (…)`, `'x' in tags`, `and`, `or`, `not`,
  parentheses.
* contains(text, part), startswith(), endswith(), matches(text, 'pattern') (RE2, found anywhere),
  lower(text or list).
* Literals: 75, 1.5, 'text' or "text" (a doubled quote is a quote, a backslash a backslash), true, false,
  null, 45s 90m 12h 30d 2w, times as '2024-05-01T12:00:00' (UTC), and the words clear green amber
  amber+strict red.
* Two-valued: a comparison with a missing attribute is false, `!=` and `not in (…)` too; `== null` and
  `!= null` ask whether it is there. A missing list is an empty one.
* No clock: `age` is measured from `as_of`, and `Filter.clocks` says when time alone may change a result.
"""

from tipline.processors.expression.compile import Clock, Filter, compile_filter

__all__ = ["Clock", "Filter", "compile_filter"]
