"""Object stores for tests, on this machine: S3 (moto), Google Cloud Storage and Azure Blobs."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import fsspec
from gcp_storage_emulator.server import create_server
from moto.server import ThreadedMotoServer

from programs import free_port
from sources.azure_blobs import KEY, azure_blobs, connection_string

SECRET = "a-secret-of-a-test"
BUCKET = "feeds"
AZURITE = os.environ.get("TIPLINE_AZURITE")
STORES = ["s3", "gs", "az", *(["azurite"] if AZURITE else [])]
# Before anything else gcsfs would ask over gRPC whether a bucket has folders, which no emulator answers.
os.environ["GCSFS_EXPERIMENTAL_ZB_HNS_SUPPORT"] = "false"


@dataclass
class Stage:
    """A store with one bucket.

    Attributes:
        scheme: of its addresses.
        options: as users write them under `storage`.
        secret: what may be told nowhere.
    """

    scheme: str
    options: Mapping[str, str]
    secret: str

    def url(self, path: str = "") -> str:
        """The address of an object or folder in the bucket."""
        return f"{self.scheme}://{BUCKET}/{path}"

    @property
    def yaml(self) -> str:
        """The options as YAML."""
        return json.dumps(dict(self.options))

    def put(self, key: str, body: bytes) -> None:
        """Write an object."""
        self._files().pipe_file(f"{BUCKET}/{key}", body)

    def get(self, key: str) -> bytes:
        """Read an object."""
        return bytes(self._files().cat_file(f"{BUCKET}/{key}"))

    def names(self) -> set[str]:
        """The keys of all objects."""
        return {str(name).removeprefix(f"{BUCKET}/") for name in self._files().find(BUCKET)}

    def emptied(self) -> Stage:
        """The same, with an empty bucket."""
        files = self._files()
        if not files.exists(BUCKET):
            files.mkdir(BUCKET)
        for name in files.find(BUCKET):
            files.rm_file(name)
        return self

    def _files(self) -> Any:
        return fsspec.filesystem(self.scheme, skip_instance_cache=True, use_listings_cache=False, **dict(self.options))


@contextmanager
def stage(store: str) -> Iterator[Stage]:
    """Run a store."""
    with {"s3": _s3, "gs": _gs, "az": _az, "azurite": _azurite}[store]() as made:
        yield made


@contextmanager
def _s3() -> Iterator[Stage]:
    server = ThreadedMotoServer("127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    try:
        yield Stage("s3", {"key": "k", "secret": SECRET, "endpoint_url": f"http://{host}:{port}"}, SECRET)
    finally:
        server.stop()


@contextmanager
def _gs() -> Iterator[Stage]:
    server = create_server("127.0.0.1", free_port(), in_memory=True, default_bucket=BUCKET)
    server.start()
    port = server._api._port
    try:
        yield Stage("gs", {"token": "anon", "project": SECRET, "endpoint_url": f"http://127.0.0.1:{port}"}, SECRET)
    finally:
        server.stop()


@contextmanager
def _az() -> Iterator[Stage]:
    with azure_blobs() as connection:
        yield Stage("az", {"connection_string": connection}, KEY)


@contextmanager
def _azurite() -> Iterator[Stage]:
    port = free_port()
    with tempfile.TemporaryDirectory() as folder:
        options = ["--blobPort", str(port), "--location", folder, "--skipApiVersionCheck", "--silent"]
        process = subprocess.Popen([str(Path(str(AZURITE))), *options], stdout=subprocess.DEVNULL)
        try:
            _wait(port)
            yield Stage("az", {"connection_string": connection_string(port)}, KEY)
        finally:
            process.terminate()
            process.wait(10)


def _wait(port: int) -> None:
    end = time.monotonic() + 30
    while time.monotonic() < end:
        with socket.socket() as tried:
            if tried.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.05)
    raise AssertionError("Azurite does not answer")
