"""Who may read lists and collections: keys, readers with passwords and tags, networks behind proxies."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import httpx
import pytest
from starlette.requests import Request

from api.test_app import TOKEN, Client, asker
from tipline.api.access import User, gate
from tipline.api.app import create_app
from tipline.config.check import check_text
from tipline.engine.asker import Asker
from tipline.engine.core import Engine
from tipline.engine.operations import Operations
from tipline.passwords import hash_password, is_hash, verify

TAXII = {"Accept": "application/taxii+json;version=2.1"}
# As `openssl passwd -apr1` writes it.
APR1 = "$apr1$abcdefgh$ZAdX7G.l3eDbgTYbm5ePE0"
KEY = "0123456789abcdef"
CONFIG = """\
http: {{trusted_proxies: [10.0.0.0/8]}}
readers:
  fw-1: {{password: '{argon}', tags: [perimeter]}}
  old: {{password: '{apr1}', tags: [partner]}}
  siem: {{key: {key}, tags: [perimeter, siem]}}
sources:
  by-hand: {{kind: local, tlp: clear}}
outputs:
  open: {{kind: list, inputs: by-hand}}
  perimeter: {{kind: list, inputs: by-hand, access: readers, tags: perimeter}}
  named: {{kind: list, inputs: by-hand, access: readers, readers: old}}
  anybody: {{kind: list, inputs: by-hand, access: readers, tags: any}}
  near: {{kind: list, inputs: by-hand, access: network, networks: [192.0.2.0/24, '2001:db8::/32']}}
  both: {{kind: list, inputs: by-hand, access: readers, tags: any, networks: 192.0.2.0/24}}
  hub: {{kind: taxii, inputs: by-hand, access: readers, tags: siem}}
"""


@pytest.fixture(name="operations")
def _operations(tmp_path: Path) -> Iterator[Operations]:
    text = CONFIG.format(argon=hash_password("right"), apr1=APR1, key=KEY)
    checked = check_text(text, tmp_path / "tipline.yml")
    assert [str(problem) for problem in checked.problems] == []
    with Engine(checked.usable()) as engine, closing(Operations(engine)) as operations:
        engine.evaluate()
        yield operations


@pytest.fixture(name="client")
def _client(operations: Operations) -> Client:
    return asker(create_app(operations, TOKEN), "198.51.100.1")


def status(client: Client, name: str, **arguments: object) -> int:
    return client.get(f"/feeds/{name}", **arguments).status_code


@pytest.mark.parametrize(
    ("auth", "open_to"),
    [
        (None, []),
        (("fw-1", "right"), ["perimeter", "anybody"]),
        (("fw-1", "wrong"), []),
        (("siem", "right"), []),
        (("old", "secret pass"), ["named", "anybody"]),
        (("whoever", KEY), ["perimeter", "anybody"]),
        (("fw-1", ""), []),
        (("", "right"), []),
    ],
)
def test_readers_read_what_their_tags_open(client: Client, auth: tuple[str, str] | None, open_to: list[str]) -> None:
    names = ["perimeter", "named", "anybody"]
    found = {name: status(client, name, auth=auth) for name in names}
    assert found == {name: 200 if name in open_to else 401 for name in names}
    assert status(client, "open", auth=auth) == 200
    listed = {entry["name"] for entry in client.get("/feeds", auth=auth).json()}
    assert listed == {"open", *open_to}


def test_guessing_readers_passwords_is_put_off(operations: Operations) -> None:
    """The one who guesses waits, also with the right password; the reader itself, elsewhere, does not."""
    app = create_app(operations, TOKEN)
    guesser, reader = (asker(app, host) for host in ("198.51.100.1", "198.51.100.2"))
    assert status(reader, "perimeter", auth=("fw-1", "right")) == 200
    found = [status(guesser, "perimeter", auth=("fw-1", f"guess {n}")) for n in range(6)]
    assert found == [401] * 5 + [429]
    for name in ("perimeter", "anybody"):
        refused = guesser.get(f"/feeds/{name}", auth=("fw-1", "right"))
        assert refused.status_code == 429
        assert int(refused.headers["retry-after"]) > 0
    assert guesser.get("/feeds", auth=("fw-1", "right")).status_code == 429
    assert guesser.get("/taxii2/", auth=("fw-1", "right"), headers=TAXII).status_code == 429
    assert status(guesser, "open", auth=("fw-1", "right")) == 200
    assert status(guesser, "perimeter", headers={"X-API-Key": KEY}) == 200
    assert status(reader, "perimeter", auth=("fw-1", "right")) == 200


def test_one_address_does_not_try_many_names(operations: Operations) -> None:
    client = asker(create_app(operations, TOKEN), "198.51.100.1")
    found = [status(client, "anybody", auth=(name, "")) for name in ["fw-1", "old"] * 5]
    assert 429 in {status(client, "anybody", auth=("fw-1", "right")), *found}


def test_a_wrong_password_counts_once_and_a_right_one_clears(client: Client) -> None:
    """However many lists are listed; and a reader that asks for what it may not read has done nothing wrong."""
    for _ in range(3):
        for _ in range(4):
            assert client.get("/feeds", auth=("fw-1", "wrong")).status_code == 200
        assert status(client, "perimeter", auth=("fw-1", "right")) == 200
    assert {status(client, "named", auth=("fw-1", "right")) for _ in range(9)} == {401}
    assert status(client, "perimeter", auth=("fw-1", "right")) == 200


def test_a_key_comes_in_any_of_its_ways(client: Client) -> None:
    for shown in ({"Authorization": f"Bearer {KEY}"}, {"X-API-Key": KEY}):
        assert status(client, "perimeter", headers=shown) == 200
    assert status(client, f"perimeter?key={KEY}") == 200
    assert status(client, f"perimeter?key={KEY[:-1]}") == 401


@pytest.mark.parametrize(
    ("host", "forwarded", "expected"),
    [
        ("192.0.2.7", "", 200),
        ("::ffff:192.0.2.7", "", 200),
        ("2001:db8::1", "", 200),
        ("198.51.100.1", "", 403),
        ("198.51.100.1", "192.0.2.7", 403),
        ("10.0.0.1", "192.0.2.7", 200),
        ("10.0.0.1", "192.0.2.7, 198.51.100.9", 403),
        ("10.0.0.1", "203.0.113.1, 192.0.2.7, 10.2.2.2", 200),
        ("10.0.0.1", "nonsense", 403),
        ("10.0.0.1", "", 403),
    ],
)
def test_networks_behind_proxies(operations: Operations, host: str, forwarded: str, expected: int) -> None:
    client = asker(create_app(operations, TOKEN), host)
    headers = {"X-Forwarded-For": forwarded} if forwarded else {}
    assert status(client, "near", headers=headers) == expected


def test_networks_come_on_top_of_readers(operations: Operations) -> None:
    near, far = (asker(create_app(operations, TOKEN), host) for host in ("192.0.2.7", "198.51.100.1"))
    assert status(near, "both", auth=("fw-1", "right")) == 200
    assert status(near, "both") == 401
    assert status(far, "both", auth=("fw-1", "right")) == 401


def test_collections_ask_the_same(client: Client) -> None:
    accept = {"Accept": "application/taxii+json;version=2.1"}
    assert client.get("/taxii2/api/collections/", headers=accept, auth=("fw-1", "right")).status_code == 401
    found = client.get("/taxii2/api/collections/", headers={**accept, "X-API-Key": KEY}).json()
    assert [each["title"] for each in found["collections"]] == ["hub"]


def test_users_of_the_server_read_by_their_tags(operations: Operations, client: Client) -> None:
    def user_of(request: Request) -> User | None:
        asks = request.headers.get("authorization") == "Bearer a-user"
        return User(Asker("a-user"), frozenset({"perimeter"})) if asks else None

    gate(operations.engine).user_of = user_of
    shown = {"Authorization": "Bearer a-user"}
    assert [status(client, name, headers=shown) for name in ("perimeter", "anybody", "named")] == [200, 200, 401]


def test_a_password_is_verified_once(operations: Operations, monkeypatch: pytest.MonkeyPatch) -> None:
    calls = []
    monkeypatch.setattr("tipline.api.access.verify", lambda *a: calls.append(a) or verify(*a))
    client = asker(create_app(operations, TOKEN), "198.51.100.1")
    assert [status(client, "perimeter", auth=("fw-1", "right")) for _ in range(3)] == [200] * 3
    assert [status(client, "perimeter", auth=("fw-1", "guess")) for _ in range(3)] == [401] * 3
    assert len(calls) == 2


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ("access: readers", "needs names under readers, or tags"),
        ("access: readers, readers: nobody", "there is no reader nobody"),
        ("access: network", "needs networks"),
        ("access: network, networks: 10.0.0.1/8", "host bits"),
        ("networks: 10.0.0.0/8", "write access: network"),
        ("access: key, tags: x, keys: [0123456789abcdef]", "write access: readers"),
        ("access: readers, tags: rare", "no reader has the tag rare"),
    ],
)
def test_wrong_settings_are_told(tmp_path: Path, settings: str, words: str) -> None:
    text = f"sources: {{a: {{kind: local}}}}\noutputs:\n  o: {{kind: list, inputs: a, {settings}}}\n"
    assert words in " ".join(str(problem) for problem in check_text(text, tmp_path / "t.yml").problems)


@pytest.mark.parametrize("hashed", ["", "plain", "{SHA}5en6G6MezRroT3XKqkdPOmY/BfQ=", "$2y$31$" + "a" * 53,
                                    "$argon2id$v=19$m=999999999,t=3,p=4$YWFhYWFhYWE$YWFhYWFhYWE"])  # fmt: skip
def test_what_is_no_hash_or_too_costly_is_refused(tmp_path: Path, hashed: str) -> None:
    assert not is_hash(hashed)
    assert not verify(b"", hashed)
    problems = check_text(f"readers: {{a: {{password: '{hashed}'}}}}\n", tmp_path / "t.yml").problems
    assert any("reader-hash" in str(problem) for problem in problems)
    assert hashed not in str(problems) or not hashed


def test_hashes_of_three_sorts() -> None:
    # From the tests of crypt_blowfish, which htpasswd uses.
    bcrypt = "$2y$05$CCCCCCCCCCCCCCCCCCCCC.E5YPO9kmyuRGyh0XouQYb4YMJKvyOeW"
    assert is_hash(bcrypt)
    assert verify(b"U*U", bcrypt)
    assert not verify(b"U*V", bcrypt)
    for hashed in (hash_password("secret pass"), APR1):
        assert verify(b"secret pass", hashed)
        assert not verify(b"secret pas", hashed)
        assert not verify(b"x" * 100_000, hashed)


def test_no_secret_is_in_the_index(client: Client) -> None:
    answer: httpx.Response = client.get("/feeds", auth=("fw-1", "right"))
    assert "argon2" not in answer.text
    assert KEY not in answer.text


RED = """\
teams: {{blue: {{title: Blue}}, green: {{title: Green}}}}
readers:
  theirs: {{key: {key}, tags: [perimeter], team: green}}
  ours: {{key: {key}-ours, tags: [perimeter], team: blue}}
sources:
  by-hand: {{kind: local, tlp: red, team: blue}}
outputs:
  secret: {{kind: list, team: blue, inputs: by-hand, access: readers, tags: perimeter, readers: theirs, max_tlp: red}}
  hub: {{kind: taxii, team: blue, inputs: by-hand, access: readers, tags: any, max_tlp: red}}
  misp: {{kind: misp-feed, team: blue, inputs: by-hand, access: readers, tags: any, max_tlp: red}}
  open: {{kind: list, team: blue, inputs: by-hand, access: readers, tags: [perimeter], max_tlp: amber}}
"""
PLACES = ["/feeds/secret", "/feeds/secret?v=json", "/misp/misp/manifest.json", "/misp/misp/hashes.csv"]


@pytest.fixture(name="teams")
def _teams(tmp_path: Path) -> Iterator[Operations]:
    checked = check_text(RED.format(key=KEY), tmp_path / "tipline.yml")
    with Engine(checked.usable()) as engine, closing(Operations(engine)) as operations:
        operations.call("add", {"entries": [{"value": "203.0.114.66"}], "source": "by-hand", "team": "blue"})
        for team in ("blue", "green"):
            name = f"user-{team}"
            user = {"name": name, "role": "reader", "team": team, "tags": ["perimeter"]}
            operations.call("user_add", user)
        yield operations


def _keys(operations: Operations, team: str) -> list[str]:
    reader = KEY if team == "green" else f"{KEY}-ours"
    return [reader, operations.call("key_add", {"user": f"user-{team}"})["key"]]


def test_what_may_be_red_is_for_the_own_team_alone(teams: Operations) -> None:
    app = create_app(teams, TOKEN)
    client = asker(app, "198.51.100.1")
    for team, told in (("blue", True), ("green", False)):
        for key in _keys(teams, team):
            bearer = {"Authorization": f"Bearer {key}"}
            answers = [client.get(place, headers=bearer) for place in PLACES]
            assert [each.status_code != 401 for each in answers] == [told] * len(PLACES)
            assert ("203.0.114.66" in answers[0].text) == told
            assert client.get("/feeds/open", headers=bearer).status_code == 200
            found = client.get("/taxii2/blue/collections/", headers={**bearer, **TAXII})
            assert ("hub" in found.text) == told


def test_red_is_not_published(tmp_path: Path) -> None:
    text = "sources: {s: {kind: local}}\noutputs: {o: {kind: list, inputs: s, max_tlp: red}}\n"
    problems = [str(each) for each in check_text(text, tmp_path / "tipline.yml").problems]
    assert any("red must not be public; write access: key" in each for each in problems)
