"""The demonstration: the lab, played from end to end on one machine."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from rich.console import RenderableType


def run(why_tree: Callable[[dict[str, Any]], RenderableType], *, as_json: bool = False, serve: bool = False) -> int:
    """Play the lab; returns the exit code (1 if a far side or a list is not as it must be).

    Args:
        why_tree: shows what `tipline why` found, as that command does.
        as_json: say nothing and print the figures as one JSON object on the last line.
        serve: leave the lab running afterwards, until interrupted.
    """
    from tipline.demo.play import play
    from tipline.demo.tell import Teller

    figures = play(Teller(why_tree, quiet=as_json), stay=serve)
    if as_json:
        print(json.dumps(figures))
    return 0 if figures["verified"] and set(figures["reconciled"].values()) == {"clean"} else 1
