"""Object stores: fetched on condition, globbed, watched and published to, against moto's server."""

from __future__ import annotations

import builtins
import importlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import boto3
import pytest
from moto.server import ThreadedMotoServer

from engine.test_static import add, engine_of
from tipline.engine.core import Engine
from tipline.engine.static import publisher
from tipline.errors import FetchError
from tipline.sources import fetch_objects
from tipline.sources.fetch import FetchSettings, FetchState, fetch
from tipline.store.schema import claims_table

# aiobotocore and its friends leave sockets to the garbage collector.
pytestmark = pytest.mark.filterwarnings("ignore::ResourceWarning", "ignore::DeprecationWarning",
                                        "ignore::pytest.PytestUnraisableExceptionWarning")  # fmt: skip
SECRET = "a-secret-of-a-test"


@pytest.fixture(name="server", scope="module")
def _server() -> Iterator[str]:
    server = ThreadedMotoServer("127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    yield f"http://{host}:{port}"
    server.stop()


@pytest.fixture(name="s3")
def _s3(server: str) -> Any:
    client = boto3.client(
        "s3", endpoint_url=server, aws_access_key_id="k", aws_secret_access_key=SECRET, region_name="us-east-1"
    )
    for bucket in client.list_buckets()["Buckets"]:
        for each in client.list_objects_v2(Bucket=bucket["Name"]).get("Contents", []):
            client.delete_object(Bucket=bucket["Name"], Key=each["Key"])
    client.create_bucket(Bucket="feeds")
    return client


def options(server: str) -> dict[str, str]:
    return {"key": "k", "secret": SECRET, "endpoint_url": server}


def settings(server: str, *urls: str, **more: Any) -> FetchSettings:
    return FetchSettings.model_validate({"url": list(urls), "storage": options(server), **more})


def names(s3: Any) -> set[str]:
    return {each["Key"] for each in s3.list_objects_v2(Bucket="feeds").get("Contents", [])}


def test_an_object_is_fetched_on_condition(server: str, s3: Any, tmp_path: Path) -> None:
    s3.put_object(Bucket="feeds", Key="a.txt", Body=b"one")
    found = fetch(settings(server, "s3://feeds/a.txt"), FetchState(), tmp_path)
    assert [path.read_bytes() for path in found.files] == [b"one"]
    again = fetch(settings(server, "s3://feeds/a.txt"), found.state, tmp_path)
    assert (again.not_modified, again.bytes) == (True, 0)
    s3.put_object(Bucket="feeds", Key="a.txt", Body=b"two")
    changed = fetch(settings(server, "s3://feeds/a.txt"), again.state, tmp_path)
    assert [path.read_bytes() for path in changed.files] == [b"two"]


def test_globs_and_folders(server: str, s3: Any, tmp_path: Path) -> None:
    for key in ("d/1.txt", "d/2.txt", "d/3.csv", "e/1.txt"):
        s3.put_object(Bucket="feeds", Key=key, Body=key.encode())
    for url, expected in (
        ("s3://feeds/d/*.txt", [b"d/1.txt", b"d/2.txt"]),
        ("s3://feeds/d/", [b"d/1.txt", b"d/2.txt", b"d/3.csv"]),
        ("s3://feeds/*/1.txt", [b"d/1.txt", b"e/1.txt"]),
    ):
        found = fetch(settings(server, url), FetchState(), tmp_path)
        assert [path.read_bytes() for path in found.files] == expected
    with pytest.raises(FetchError, match="no object matches"):
        fetch(settings(server, "s3://feeds/none/*.txt"), FetchState(), tmp_path)


def test_what_goes_wrong_is_told_without_the_secret(server: str, s3: Any, tmp_path: Path) -> None:
    s3.put_object(Bucket="feeds", Key="big", Body=b"x" * 1000)
    for wrong, words in (
        (settings(server, "s3://feeds/none"), "no such object"),
        (settings(server, "s3://feeds/big", max_bytes=999), "larger than 999"),
        (FetchSettings.model_validate({"url": "s3://feeds/big", "storage": {"nonsense": SECRET}}), "store"),
        (settings("http://127.0.0.1:1", "s3://feeds/big"), "store"),
    ):
        with pytest.raises(FetchError, match=words) as caught:
            fetch(wrong, FetchState(), tmp_path)
        assert SECRET not in str(caught.value)
        assert SECRET not in repr(wrong)
    assert list(tmp_path.glob("*.body")) == []


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


def test_a_bucket_is_watched(server: str, s3: Any, tmp_path: Path) -> None:
    s3.put_object(Bucket="feeds", Key="drop/a.txt", Body=b"a.example.com")
    s3.put_object(Bucket="feeds", Key="drop/b.txt", Body=b"<html>no</html>")
    s3.put_object(Bucket="feeds", Key="drop/c.md", Body=b"c.example.com")
    configuration = (
        f"sources: {{w: {{kind: watch, folder: 's3://feeds/drop', pattern: '*.txt', expire: never, tlp: clear,"
        f" storage: {{key: k, secret: {SECRET}, endpoint_url: '{server}'}}}}}}\n"
        "outputs: {l: {kind: list, inputs: w}}\n"
    )
    with engine_of(tmp_path, configuration) as engine:
        assert engine.poll("w").more
        assert engine.poll("w").ledger.dropped == {"unreadable": 1}
        assert values(engine, "w") == ["a.example.com"]
        assert engine.poll("w").state == "unchanged"
    assert names(s3) == {"drop/done/a.txt", "drop/failed/b.txt", "drop/c.md"}


def test_a_bucket_gets_a_list_and_loses_it(server: str, s3: Any, tmp_path: Path) -> None:
    def configuration(more: str) -> str:
        target = f"{{to: 's3://feeds/pub', storage: {{key: k, secret: {SECRET}, endpoint_url: '{server}'}}}}"
        return (
            "sources: {by-hand: {kind: local, tlp: clear}}\noutputs:\n"
            f"  stays: {{kind: list, inputs: by-hand, publish_to: [{target}]}}\n" + more.replace("TARGET", target)
        )

    with engine_of(tmp_path, configuration("  goes: {kind: list, inputs: by-hand, publish_to: [TARGET]}\n")) as engine:
        add(engine, "8.8.4.4")
        publisher(engine).cycle()
        assert publisher(engine).problems() == {}
        assert names(s3) == {"pub/stays.txt", "pub/goes.txt", "pub/index.json"}
        assert s3.get_object(Bucket="feeds", Key="pub/stays.txt")["Body"].read() == b"8.8.4.4\n"
    with engine_of(tmp_path, configuration("")) as engine:
        engine.evaluate()
        publisher(engine).cycle()
        assert names(s3) == {"pub/stays.txt", "pub/index.json"}
        assert SECRET not in (engine.data / "static.json").read_text()
