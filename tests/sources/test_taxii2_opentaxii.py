"""TAXII 2.1 from OpenTAXII: objects that are added to it, page by page, and going on."""

from __future__ import annotations

import json
import uuid
from pathlib import Path

import httpx

from sources.opentaxii import opentaxii, run
from sources.test_taxii2 import indicator, polled, source

_PUSH = """
import base64, json, sys, urllib.request
url, objects = sys.argv[1], json.loads(sys.argv[2])
request = urllib.request.Request(url, data=json.dumps({"objects": objects}).encode(), method="POST", headers={
    "Content-Type": "application/taxii+json;version=2.1", "Accept": "application/taxii+json;version=2.1",
    "Authorization": "Basic " + base64.b64encode(b"test:test").decode()})
print(urllib.request.urlopen(request).read().decode())
"""


def test_reads_a_collection_and_goes_on(tmp_path: Path) -> None:
    root = str(uuid.uuid4())
    with opentaxii(tmp_path) as server:
        server.admin("opentaxii-add-api-root", "-t", "root", "--default", "--public", "-i", root)
        server.admin("opentaxii-add-collection", "-r", root, "-t", "things", "--public", "--public-write")
        address = f"{server.url}/taxii2/{root}/collections/"
        asked = {"accept": "application/taxii+json;version=2.1"}
        listed = httpx.get(address, headers=asked, auth=("test", "test")).json()["collections"]
        objects = f"{address}{listed[0]['id']}/objects/"
        run("python", "-c", _PUSH, objects, json.dumps([indicator(number) for number in range(5)]))
        sign_in = {"username": "test", "password": "test"}
        node = source(f"{server.url}/taxii2/{root}/", collection="things", basic=sign_in, page_size=2)

        first, poll = polled(node, tmp_path)
        assert {row["value"] for row in first} == {f"host{number}.com" for number in range(5)}
        run("python", "-c", _PUSH, objects, json.dumps([indicator(9)]))
        later, _ = polled(node, tmp_path, poll.cursor)
        assert {row["value"] for row in later} == {"host9.com"}
