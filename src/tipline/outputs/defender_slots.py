"""Which indicators take Defender's slots: one SQL statement over all that is published."""

from __future__ import annotations

from collections.abc import Sequence

from tipline.outputs.delivery import Ranking, ended

PINNED_SCORE = 1000  # hand-added indicators come before any other, whatever their confidence


def select(ranked: Ranking, *, slots: int, margin: int, actions: Sequence[str]) -> str:
    """SQL: (key, waiting) of every published row; `waiting` is NULL for those that get a slot.

    Score is confidence, plus `margin` for what is already there, so that a newcomer has to be better by more
    than that. A URL whose host is, or lies under, a listed domain whose action is at least as strong takes no slot:
    the domain covers it, and stands in the ranking with the best score of what it covers, so that it is there whenever
    one of its URLs would be.
    What Defender refused for good takes none either, until the row or the settings change.

    Args:
        ranked: the published rows and the receipts; `identity` begins with the action.
        slots: how many there are.
        margin: see above.
        actions: every action, the weakest (which lets through) first.
    """
    pinned = ", ".join("'" + name.replace("'", "''") + "'" for name in ranked.pinned)
    pin = f"CASE WHEN list_has_any(sources, [{pinned}]) THEN {PINNED_SCORE} ELSE 0 END" if pinned else "0"
    listed = ", ".join(f"'{action}'" for action in actions)
    strength = f"list_position([{listed}], split_part(p.identity, '|', 1))"
    return f"""WITH live AS MATERIALIZED (
    SELECT p.key, p.type, p.value, p.rhost, coalesce(h.holds, 'no') <> 'no' AS there,
        p.confidence::INTEGER + {pin} AS score, {strength} AS strength,
        CASE WHEN {ended(ranked.as_of)} IS NOT NULL THEN 'ended'
             WHEN h.state = 'parked' AND h.due IS NULL AND h.holds = 'no' AND h.sent = p.current
             THEN 'refused'
        END AS waiting
    FROM {ranked.published} p LEFT JOIN {ranked.had} h USING (key)),
host AS (SELECT key, score, strength, string_split(rhost, '.') AS labels FROM live
    WHERE strength > 1 AND type = 'url' AND rhost IS NOT NULL AND waiting IS NULL),
above AS (SELECT key, score, strength, unnest(list_transform(range(1, len(labels)),
    lambda n: array_to_string(labels[:n], '.') || '.')) AS rhost FROM host),
covered AS MATERIALIZED (SELECT above.key, above.score, d.key AS by_key, d.value AS by_value
    FROM above JOIN live d ON d.type = 'domain' AND d.rhost = above.rhost AND d.waiting IS NULL
    WHERE d.strength >= above.strength),
lifted AS (SELECT by_key AS key, max(score) AS score FROM covered GROUP BY by_key),
shadowed AS (SELECT key, min(by_value) AS by_value FROM covered GROUP BY key),
ranking AS (SELECT live.key, row_number() OVER (ORDER BY
        greatest(live.score, coalesce(lifted.score, 0)) + CASE WHEN there THEN {margin} ELSE 0 END DESC,
        there DESC, live.score DESC, live.key) AS place
    FROM live LEFT JOIN lifted USING (key) ANTI JOIN shadowed USING (key) WHERE live.waiting IS NULL)
SELECT live.key, CASE WHEN live.waiting IS NOT NULL THEN live.waiting
    WHEN shadowed.key IS NOT NULL THEN 'covered: by ' || shadowed.by_value
    WHEN ranking.place > {slots} THEN 'no-slot' END AS waiting
FROM live LEFT JOIN shadowed USING (key) LEFT JOIN ranking USING (key)"""
