"""Object stores: fetched on condition, globbed, watched and published to, against stores on this machine."""

from __future__ import annotations

import builtins
import importlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from engine.test_static import add, engine_of
from sources.object_stage import STORES, Stage, stage
from tipline.engine.core import Engine
from tipline.engine.static import publisher
from tipline.errors import FetchError
from tipline.sources import fetch_objects
from tipline.sources.fetch import FetchSettings, FetchState, fetch
from tipline.store.schema import claims_table

# aiobotocore and its friends leave sockets to the garbage collector.
pytestmark = pytest.mark.filterwarnings("ignore::ResourceWarning", "ignore::DeprecationWarning",
                                        "ignore::pytest.PytestUnraisableExceptionWarning")  # fmt: skip


@pytest.fixture(name="running", scope="module", params=STORES)
def _running(request: pytest.FixtureRequest) -> Iterator[Stage]:
    with stage(request.param) as made:
        yield made


@pytest.fixture(name="store")
def _store(running: Stage) -> Stage:
    return running.emptied()


def settings(store: Stage, *paths: str, **more: Any) -> FetchSettings:
    urls = [store.url(path) for path in paths]
    return FetchSettings.model_validate({"url": urls, "storage": store.options, **more})


def test_an_object_is_fetched_on_condition(store: Stage, tmp_path: Path) -> None:
    store.put("a.txt", b"one")
    found = fetch(settings(store, "a.txt"), FetchState(), tmp_path)
    assert [path.read_bytes() for path in found.files] == [b"one"]
    again = fetch(settings(store, "a.txt"), found.state, tmp_path)
    assert (again.not_modified, again.bytes) == (True, 0)
    store.put("a.txt", b"two")
    changed = fetch(settings(store, "a.txt"), again.state, tmp_path)
    assert [path.read_bytes() for path in changed.files] == [b"two"]


def test_globs_and_folders(store: Stage, tmp_path: Path) -> None:
    for key in ("d/1.txt", "d/2.txt", "d/3.csv", "e/1.txt"):
        store.put(key, key.encode())
    for path, expected in (
        ("d/*.txt", [b"d/1.txt", b"d/2.txt"]),
        ("d/", [b"d/1.txt", b"d/2.txt", b"d/3.csv"]),
        ("*/1.txt", [b"d/1.txt", b"e/1.txt"]),
    ):
        found = fetch(settings(store, path), FetchState(), tmp_path)
        assert [each.read_bytes() for each in found.files] == expected
    with pytest.raises(FetchError, match="no object matches"):
        fetch(settings(store, "none/*.txt"), FetchState(), tmp_path)


def test_what_goes_wrong_is_told_without_the_secret(store: Stage, tmp_path: Path) -> None:
    store.put("big", b"x" * 1000)
    for wrong, words in (
        (settings(store, "none"), "no such object"),
        (settings(store, "big", max_bytes=999), "larger than 999"),
        (settings(store, "big", storage={"nonsense": store.secret, "token": "/none"}), "store"),
    ):
        with pytest.raises(FetchError, match=words) as caught:
            fetch(wrong, FetchState(), tmp_path)
        assert store.secret not in str(caught.value)
        assert store.secret not in repr(wrong)
    assert list(tmp_path.glob("*.body")) == []


def test_a_store_that_cannot_be_reached_is_told(tmp_path: Path) -> None:
    options = {"key": "k", "secret": "a-secret-of-a-test", "endpoint_url": "http://127.0.0.1:1"}
    with pytest.raises(FetchError, match="store") as caught:
        fetch(FetchSettings.model_validate({"url": "s3://feeds/x", "storage": options}), FetchState(), tmp_path)
    assert "a-secret-of-a-test" not in str(caught.value)


@pytest.mark.parametrize(("scheme", "package"), [("s3", "s3fs"), ("az", "adlfs"), ("gs", "gcsfs")])
def test_a_missing_package_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, scheme: str, package: str) -> None:
    real = importlib.import_module

    def without(name: str, *rest: Any) -> Any:
        if name == package:
            raise builtins.ImportError(name)
        return real(name, *rest)

    monkeypatch.setattr(fetch_objects.importlib, "import_module", without)
    with pytest.raises(FetchError, match=r"tipline\[objects\]"):
        fetch(FetchSettings.model_validate({"url": f"{scheme}://b/x"}), FetchState(), tmp_path)


def values(engine: Engine, name: str) -> list[str]:
    with engine.lake.reading() as con:
        rows = con.execute(f"SELECT value FROM {claims_table(engine.graph.ids[name])} ORDER BY value").fetchall()
    return [value for (value,) in rows]


def test_a_bucket_is_watched(store: Stage, tmp_path: Path) -> None:
    store.put("drop/a.txt", b"a.example.com")
    store.put("drop/b.txt", b"<html>no</html>")
    store.put("drop/c.md", b"c.example.com")
    configuration = (
        f"sources: {{w: {{kind: watch, folder: '{store.url('drop')}', pattern: '*.txt', expire: never, tlp: clear,"
        f" storage: {store.yaml}}}}}\n"
        "outputs: {l: {kind: list, inputs: w}}\n"
    )
    with engine_of(tmp_path, configuration) as engine:
        assert engine.poll("w").more
        assert engine.poll("w").ledger.dropped == {"unreadable": 1}
        assert values(engine, "w") == ["a.example.com"]
        assert engine.poll("w").state == "unchanged"
    assert store.names() == {"drop/done/a.txt", "drop/failed/b.txt", "drop/c.md"}


def test_a_bucket_gets_a_list_and_loses_it(store: Stage, tmp_path: Path) -> None:
    def configuration(more: str) -> str:
        target = f"{{to: '{store.url('pub')}', storage: {store.yaml}}}"
        return (
            "sources: {by-hand: {kind: local, tlp: clear}}\noutputs:\n"
            f"  stays: {{kind: list, inputs: by-hand, publish_to: [{target}]}}\n" + more.replace("TARGET", target)
        )

    with engine_of(tmp_path, configuration("  goes: {kind: list, inputs: by-hand, publish_to: [TARGET]}\n")) as engine:
        add(engine, "8.8.4.4")
        publisher(engine).cycle()
        assert publisher(engine).problems() == {}
        assert store.names() == {"pub/stays.txt", "pub/goes.txt", "pub/index.json"}
        assert store.get("pub/stays.txt") == b"8.8.4.4\n"
    with engine_of(tmp_path, configuration("")) as engine:
        engine.evaluate()
        publisher(engine).cycle()
        assert store.names() == {"pub/stays.txt", "pub/index.json"}
        assert store.secret not in (engine.data / "static.json").read_text()
