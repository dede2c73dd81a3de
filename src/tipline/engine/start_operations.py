"""Operations of the guided start: the first feeds, far sides and list of a new server, left and taken up at will."""

from __future__ import annotations

import json
from typing import Any, Literal

from pydantic import Field

from tipline.config.check import check_text
from tipline.config.edit import put_new_nodes, put_node_text
from tipline.config.library import source_of
from tipline.engine.atomic import replacing
from tipline.engine.doctor import far_side
from tipline.engine.feedlist_operations import FeedListOperations
from tipline.engine.listing import listing
from tipline.engine.operation import operation
from tipline.engine.people import RequestError
from tipline.engine.visible import may_change
from tipline.model.tlp import NAMES
from tipline.outputs.delivery import Delivered

Step = Literal["feeds", "defender", "sentinel", "list"]
_STEPS: tuple[Step, ...] = ("feeds", "defender", "sentinel", "list")
_FAR_SIDES = {"defender": "microsoft-defender", "sentinel": "microsoft-sentinel"}
_FILE = "start.json"  # in the data directory: whether it is open, and what was set aside
_MERGING = "inbound"


class StartOperations(FeedListOperations):
    """What a new server lacks, one step after the other."""

    @operation
    def start(self) -> dict[str, Any]:
        """How far the guided start is.

        Returns:
            open (it was begun, and not ended), next (the first step that is left) and steps: name, done, aside,
            nodes (what is there of it).
        """
        self._everywhere()
        kept = self._kept_start()
        steps = [{"name": each, "aside": each in kept["aside"], **self._there(each)} for each in _STEPS]
        left = [each["name"] for each in steps if not each["done"] and not each["aside"]]
        return {"open": kept["open"] and bool(left), "next": left[0] if left else None, "steps": steps}

    @operation
    def start_begin(self) -> dict[str, Any]:
        """Begin the guided start, if the server has no feed yet."""
        self._everywhere()
        if not self._there("feeds")["done"] and not self._start_file.exists():
            self._keep_start(open_=True, aside=[])
        return self.start()

    @operation
    def start_aside(self, step: Step, *, aside: bool = True) -> dict[str, Any]:
        """Set a step aside, or take it up again."""
        self._everywhere()
        kept = self._kept_start()
        names = [each for each in _STEPS if (each in kept["aside"] and each != step) or (aside and each == step)]
        self._keep_start(open_=kept["open"], aside=names)
        return self.start()

    @operation
    def start_end(self) -> dict[str, Any]:
        """End the guided start, done or not."""
        self._everywhere()
        self._keep_start(open_=False, aside=self._kept_start()["aside"])
        return self.start()

    @operation
    def start_feeds(self, names: list[str], *, message: str = "", user: str = "") -> dict[str, Any]:
        """Add feeds of the library, and a processor that merges them if there is none."""
        self._everywhere()
        if not names:
            raise RequestError("no feed was chosen", fix="tick one at least")
        feeds = {name: source_of(name, {}) for name in names}
        merging = [name for name, node in self.engine.configuration.processors.items() if node.kind == "aggregate"]
        told = message or f"{len(feeds)} feeds of the first start"
        if merging:
            return self.feeds_add(feeds, into=merging[:1], message=told, user=user)
        body = self._text({"kind": "aggregate", "inputs": list(feeds)})

        def merged(text: str) -> str:
            return put_new_nodes(text, "processors", {_MERGING: body})

        return self._added({name: self._text(each) for name, each in feeds.items()}, None, [], told, user, also=merged)

    @operation
    def output_check(self, name: str, text: str = Field(max_length=1 << 20)) -> dict[str, Any]:
        """Sign in at the far side that an output would have, and see that we may write; nothing is kept or written.

        Args:
            name: of the output.
            text: its settings as YAML, with its secrets or their references.
        """
        self._everywhere()
        candidate = self._with_output(name, text)
        if not isinstance(candidate.outputs[name], Delivered):
            raise RequestError(f"{name} has no far side", fix="give the settings of a delivered output")
        return far_side(candidate, name)

    @operation
    def output_add(
        self, name: str, text: str = Field(max_length=1 << 20), *, message: str = "", user: str = ""
    ) -> dict[str, Any]:
        """Add an output, with its secrets kept apart, and put that to work."""
        self._everywhere()
        if name in self.engine.configuration.nodes():
            raise RequestError(f"there is a node {name} already", fix="choose another name")
        with self._sealed({name: text}, "output") as sealed:
            put = sealed[name]
            told = message or f"{name} added"
            return self._commit(lambda whole: put_new_nodes(whole, "outputs", {name: put}), None, told, user)

    @operation
    def start_list(
        self,
        name: str,
        *,
        confidence: int = Field(default=0, ge=0, le=100),
        max_tlp: str = "green",
        message: str = "",
        user: str = "",
    ) -> dict[str, Any]:
        """Add a list of what is merged, from a confidence on."""
        self._everywhere()
        if max_tlp not in NAMES:
            raise RequestError(f"there is no TLP {max_tlp}", fix=f"there are {', '.join(NAMES)}")
        where = {"where": f"confidence >= {confidence}"} if confidence else {}
        settings = {"kind": "list", "inputs": [self.merging()], **where, "max_tlp": max_tlp}
        return self.output_add(name, self._text(settings), message=message or f"the list {name}", user=user)

    def merging(self) -> str:
        """The node that outputs of the start read: the first that merges.

        Raises:
            RequestError: there is none.
        """
        found = [name for name, node in self.engine.configuration.processors.items() if node.kind == "aggregate"]
        if not found:
            raise RequestError("there is nothing to deliver yet", fix="choose feeds first")
        return found[0]

    def _with_output(self, name: str, text: str) -> Any:
        """The configuration with an output; secrets may stand in it, as it is never kept."""
        running = self._configuring.current()["text"]
        whole = put_node_text(running, "outputs", name, text, replace=True)
        candidate = check_text(whole, self.engine.configuration.path).usable()
        may_change(self.engine.configuration, candidate, self.asker)
        return candidate

    def _there(self, step: Step) -> dict[str, Any]:
        """Whether a step is done, and what there is of it."""
        configuration = self.engine.configuration
        if step == "feeds":
            nodes = [name for name, node in configuration.sources.items() if getattr(node.settings, "url", None)]
        elif step == "list":
            nodes = [name for name, node in configuration.outputs.items() if node.kind == "list"]
            return {"done": any(self._published(name) for name in nodes), "nodes": nodes}
        else:
            nodes = [
                name
                for name, node in configuration.outputs.items()
                if isinstance(node, Delivered) and node.kind == _FAR_SIDES[step] and not node.missing()
            ]
        return {"done": bool(nodes), "nodes": nodes}

    def _published(self, output: str) -> bool:
        return bool(listing(self.engine, output, 1, 0, self.asker))

    @property
    def _start_file(self) -> Any:
        return self.engine.data / _FILE

    def _kept_start(self) -> dict[str, Any]:
        try:
            found = json.loads(self._start_file.read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return {"open": False, "aside": []}
        aside = found.get("aside") if isinstance(found, dict) else None
        return {"open": isinstance(found, dict) and found.get("open") is True, "aside": aside or []}

    def _keep_start(self, *, open_: bool, aside: list[Step]) -> None:
        with replacing(self._start_file, 0o600) as new:
            new.file.write(json.dumps({"open": open_, "aside": aside}).encode())
        self._note("start", "the guided start", open=open_, aside=aside)
