"""Packs MISP's warning lists: `python -m tipline.library.warning_pack LISTS` writes `warning-lists/lists.zip`.

LISTS is the folder `lists` of MISP/misp-warninglists, or of the package pymispwarninglists. Lists with more entries
than MOST are left out (tranco, the million of Chrome, nioc-filehash): one who wants them names their address.
"""

from __future__ import annotations

import json
import sys
import zipfile
from importlib.resources import files
from pathlib import Path
from typing import Any

from tipline.formats.warning_list import read

MOST = 100_000
_FORM = (2025, 1, 1, 0, 0, 0)  # the same lists give the same file


def pack(folder: Path, target: Path) -> dict[str, int]:
    """Write the pack; returns the number of entries by list."""
    index: dict[str, dict[str, Any]] = {}
    members: dict[str, str] = {}
    for path in sorted(folder.glob("*/list.json")):
        name, body = path.parent.name, path.read_bytes()
        text = read(body, name)
        if 0 < len(text.entries) <= MOST:
            index[name] = {
                "title": text.title, "description": text.description, "version": text.version, "match": text.match,
                "types": text.types, "entries": len(text.entries), "digest": text.digest,
            }  # fmt: skip
            members[f"{name}.json"] = json.dumps(json.loads(body), separators=(",", ":"), ensure_ascii=False)
    members["index.json"] = json.dumps(index, indent=1)
    with zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED, compresslevel=9) as made:
        for member, content in members.items():
            made.writestr(zipfile.ZipInfo(member, _FORM), content, zipfile.ZIP_DEFLATED, 9)
    return {name: facts["entries"] for name, facts in index.items()}


if __name__ == "__main__":
    found = pack(Path(sys.argv[1]), Path(str(files("tipline.library") / "warning-lists" / "lists.zip")))
    print(f"{len(found)} lists, {sum(found.values()):,} entries")
