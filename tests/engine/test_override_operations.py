"""Overriding as people do it: who may, what is refused and why, and what is told of it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tipline.config.check import check_text
from tipline.engine.asker import Asker
from tipline.engine.core import Engine
from tipline.engine.operations import Operations
from tipline.engine.people import RequestError
from tipline.errors import TiplineError
from tipline.sandbox import Sandbox

DOMAIN, HASH, OWN, RESOLVER = "bad.example.com", "ab" * 32, "www.acme-corp.example.net", "8.8.8.8"
TAKEN, ELSEWHERE = "taken.example.org", "elsewhere.example.org"
CERTIFICATE = "cd" * 20
_CONFIG = """\
instance: test
organisation: [acme-corp.example.net]
teams: {{red: {{}}}}
sources:
  feed: {{kind: lines, url: 'file://{folder}/feed.txt', confidence: 80}}
  red-feed: {{kind: lines, url: 'file://{folder}/feed.txt', team: red}}
outputs:
  defender:
    kind: microsoft-defender
    inputs: feed
    credentials: &entra
      tenant_id: {tenant}
      client_id: {client}
      client_secret: {secret}
      login_url: {login}
      ca_file: {ca}
      defender_url: {defender}
  blocking: {{kind: microsoft-defender, inputs: feed, where: type = 'domain', action: Block, credentials: *entra}}
  red-defender: {{kind: microsoft-defender, team: red, inputs: red-feed}}
  list: {{kind: list, inputs: feed, max_tlp: amber}}
  hook: {{kind: webhook, inputs: feed, url: 'https://127.0.0.1:9/x', retries: 0}}
"""


class Stage:
    """An engine that delivers to the stand-in, asked by its commands."""

    def __init__(self, folder: Path, sandbox: Sandbox) -> None:
        (folder / "feed.txt").write_text("\n".join([DOMAIN, HASH, OWN, RESOLVER, TAKEN, CERTIFICATE, ""]))
        names = {
            "folder": folder, "tenant": sandbox.tenant_id, "client": sandbox.client_id, "ca": sandbox.ca_file,
            "secret": sandbox.client_secret, "login": sandbox.login_url, "defender": sandbox.defender_url,
        }  # fmt: skip
        self.sandbox = sandbox
        self.engine = Engine(check_text(_CONFIG.format(**names), folder / "tipline.yml").usable())
        self.operations = Operations(self.engine)

    def call(self, name: str, **arguments: Any) -> Any:
        return self.operations.call(name, arguments)

    def wish(self, value: str, *, output: str = "defender", **more: Any) -> Any:
        names = ("action", "severity", "title", "expires")
        changes = {name: more.pop(name) for name in names if name in more}
        return self.call("override", **{"output": output, "value": value, "changes": changes, "reason": "t-1", **more})

    def refusal(self, value: str, **more: Any) -> str:
        before = self.call("overrides")
        with pytest.raises(TiplineError) as found:
            self.wish(value, **more)
        assert self.call("overrides") == before
        return f"{found.value.what} ({found.value.fix})"

    def there(self, value: str) -> list[dict[str, Any]]:
        return [row for row in self.sandbox.defender_indicators() if row["indicatorValue"] == value]


@pytest.fixture(scope="module")
def stage(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    folder = tmp_path_factory.mktemp("overrides")
    with Sandbox(folder / "microsoft", rate_limits=False) as sandbox:
        sandbox.portal_add(TAKEN, "DomainName", "Warn", title="the portal's")
        sandbox.portal_add(ELSEWHERE, "DomainName", "Block")
        made = Stage(folder, sandbox)
        made.call("run_once")
        made.call("reconcile")
        yield made
        made.operations.close()
        made.engine.close()


def test_set_shown_told_and_taken_back(stage: Stage) -> None:
    done = stage.wish("BAD[.]example.com", severity="High", title="phish", until="7d")
    assert (done["value"], done["before"]) == (DOMAIN, None)
    assert {row["severity"] for row in stage.there(DOMAIN) if row["action"] == "Audit"} == {"High"}
    (held,) = [each for each in stage.call("why", value=DOMAIN)["outputs"] if each["output"] == "defender"]
    assert (held["override"]["severity"], held["override"]["reason"], held["override"]["state"]) == (
        "High", "t-1", "in force",
    )  # fmt: skip
    again = stage.wish(DOMAIN, severity="Low")
    assert (again["before"]["title"], again["override"]["title"], again["override"]["until"]) == ("phish", None, None)
    items = stage.call("defender_items", output="defender", wanted={"edited": True})
    assert [(each["value"], each["override"]["severity"]) for each in items["items"]] == [(DOMAIN, "Low")]
    assert items["edited"] == 1
    stage.call("override_remove", output="defender", value=DOMAIN)
    assert {row["severity"] for row in stage.there(DOMAIN)} == {"Informational"}
    entries = stage.call("audit", limit=3)["entries"]
    assert [entry["action"] for entry in entries] == ["override remove", "override", "override"]
    assert entries[0]["detail"]["after"] is None
    assert (entries[1]["detail"]["before"]["severity"], entries[1]["detail"]["after"]["severity"]) == ("High", "Low")
    with pytest.raises(RequestError, match="nothing is set"):
        stage.call("override_remove", output="defender", value=DOMAIN)


def test_what_blocks_or_lets_through_has_to_be_confirmed(stage: Stage) -> None:
    assert "BlockAndRemediate blocks" in stage.refusal(HASH, action="BlockAndRemediate")
    assert "Allowed lets through" in stage.refusal(HASH, action="Allowed")
    stage.wish(HASH, action="BlockAndRemediate", confirmed=True)
    assert [row["action"] for row in stage.there(HASH)] == ["BlockAndRemediate"]
    assert stage.call("reconcile", output="defender")["outputs"][0]["state"] == "clean"
    stage.call("override_remove", output="defender", value=HASH)
    assert [row["action"] for row in stage.there(HASH)] == ["Audit"]


def test_what_is_never_blocked_is_not_blocked_by_hand_either(stage: Stage) -> None:
    assert "must never be blocked (never-block: 8.8.8.8" in stage.refusal(RESOLVER, action="Block", confirmed=True)
    assert "organisation" in stage.refusal(OWN, action="Warn", confirmed=True)
    assert stage.wish(RESOLVER, severity="Low")["override"]["state"] == "in force"
    stage.call("override_remove", output="defender", value=RESOLVER)


def test_what_comes_to_be_never_blocked_is_held_back_and_the_rest_stands(stage: Stage, tmp_path: Path) -> None:
    stage.wish(DOMAIN, action="Warn", severity="High", confirmed=True)
    text = stage.engine.configuration.text.replace("[acme-corp.example.net]", "[acme-corp.example.net, example.com]")
    before = stage.engine.configuration
    after = check_text(text, stage.engine.configuration.path).usable()
    try:
        stage.engine.apply(after, actor="test")
        stage.call("run_once")
        (row,) = stage.there(DOMAIN)
        assert (row["action"], row["severity"]) == ("Audit", "High")
        (shown,) = stage.call("overrides", output="defender")["overrides"]
        assert (shown["state"], "never blocked: never-block: example.com" in shown["note"]) == ("held back", True)
    finally:
        stage.engine.apply(before, actor="test")
        stage.call("run_once")
    assert {row["action"] for row in stage.there(DOMAIN)} == {"Warn", "Block"}
    stage.call("override_remove", output="defender", value=DOMAIN)


@pytest.mark.parametrize(
    ("value", "wish", "why"),
    [
        (DOMAIN, {}, "nothing is set"),
        (DOMAIN, {"action": "BlockAndRemediate"}, "Defender allows Allowed, Audit, Warn, Block for DomainName"),
        (DOMAIN, {"action": "Explode"}, "no action Explode"),
        (DOMAIN, {"severity": "Dire"}, "no severity Dire"),
        (DOMAIN, {"title": "x" * 101}, "1 to 100 characters"),
        (DOMAIN, {"title": " "}, "1 to 100 characters"),
        (DOMAIN, {"expires": "soon"}, "'soon' is no moment"),
        (DOMAIN, {"expires": "2020-01-01"}, "is over"),
        (DOMAIN, {"severity": "Low", "until": "9" * 30 + "w"}, "too far away"),
        (DOMAIN, {"severity": "Low", "reason": ""}, "at least 1 character"),
        (DOMAIN, {"severity": "Low", "output": "hook"}, "webhook sends every indicator alike"),
        (DOMAIN, {"severity": "Low", "output": "list"}, "no delivered output list"),
        ("nothing.example.com", {"severity": "Low"}, "does not publish nothing.example.com (see why"),
        ("not an indicator", {"severity": "Low"}, "is no indicator"),
        (CERTIFICATE, {"severity": "Low", "type": "certificate-sha1"}, "does not publish"),
        (ELSEWHERE, {"severity": "Low"}, "somebody else's"),
        (TAKEN, {"action": "Warn", "confirmed": True}, "just like that (adopt it first: `tipline adopt defender`)"),
        (DOMAIN, {"action": "Block", "confirmed": True}, "blocking has an item on bad.example.com just like that"),
    ],
)
def test_refused(stage: Stage, value: str, wish: dict[str, Any], why: str) -> None:
    assert why in stage.refusal(value, **wish)


def test_an_item_that_somebody_else_made_and_we_changed_is_to_be_adopted_first(stage: Stage) -> None:
    value = "sent-over.example.org"
    stage.sandbox.portal_add(value, "DomainName", "Audit", title="the portal's")
    feed = stage.engine.configuration.path.parent / "feed.txt"
    before = feed.read_text()
    feed.write_text(f"{before}{value}\n")
    stage.call("run_once")
    stage.call("reconcile", output="defender")
    assert "somebody else's (adopt it first" in stage.refusal(value, severity="High")
    (item,) = stage.call("defender_items", output="defender", wanted={"text": value, "whose": "ours"})["items"]
    stage.call("adopt", output="defender", source=item["by"], apply=True)
    assert stage.wish(value, severity="High")["override"]["state"] == "in force"
    assert [row["severity"] for row in stage.there(value) if row["action"] == "Audit"] == ["High"]
    stage.call("override_remove", output="defender", value=value)
    feed.write_text(before)
    stage.call("run_once")


def test_another_teams_output_is_not_there(stage: Stage) -> None:
    theirs = stage.operations.asked_by(Asker("rhea", "red"))
    with pytest.raises(RequestError, match="no delivered output defender"):
        theirs.call("override", {"output": "defender", "value": DOMAIN, "changes": {"severity": "Low"}, "reason": "x"})
    stage.wish(DOMAIN, severity="Low")
    assert theirs.call("overrides", {})["overrides"] == []
    assert all("override" not in held for held in theirs.call("why", {"value": DOMAIN})["outputs"])
    stage.call("override_remove", output="defender", value=DOMAIN)


def test_pages_meet_end_to_end(stage: Stage) -> None:
    for value in (DOMAIN, HASH, RESOLVER):
        stage.wish(value, severity="Low")
    seen: list[str] = []
    after = None
    while True:
        found = stage.call("overrides", limit=1, after=after)
        seen += [each["value"] for each in found["overrides"]]
        after = found["next"]
        if after is None:
            break
    assert sorted(seen) == sorted([DOMAIN, HASH, RESOLVER])
    assert [each["value"] for each in stage.call("overrides", text="example")["overrides"]] == [DOMAIN]
    for value in seen:
        stage.call("override_remove", output="defender", value=value)


def test_what_has_ended_is_taken_away_and_told(stage: Stage) -> None:
    stage.wish(DOMAIN, severity="Low", until="1h")
    clock = stage.engine.clock
    stage.engine.clock = lambda: clock().replace(year=clock().year + 1)
    try:
        (shown,) = stage.call("overrides")["overrides"]
        assert shown["state"] == "ended"
        stage.operations.scheduler._step()  # what its thread does
    finally:
        stage.engine.clock = clock
    assert stage.call("overrides")["overrides"] == []
    entry = stage.call("audit", limit=50, action="override ended")["entries"][0]
    assert (entry["subject"], entry["detail"]["before"]["severity"]) == (f"defender: {DOMAIN}", "Low")
