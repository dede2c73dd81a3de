"""backup and restore, with a server and without."""

from __future__ import annotations

from pathlib import Path
from typing import Any


def test_a_backup_of_a_running_server_is_put_into_a_new_directory(filled: Path, tipline_: Any, serving: Any) -> None:
    with serving("serve"):
        tipline_("add", "9.9.9.40")
        before = tipline_("list", "all", "--json").json
        made = tipline_("backup", "one.backup", "--json").json
        assert tipline_("backup", "one.backup").code == 1
        named = tipline_("backup", "--json").json
    assert (made["path"], made["tipline"]) == (str(filled / "one.backup"), named["tipline"])
    assert Path(named["path"]).parent == filled / "data" / "backups"
    alone = tipline_("backup", "two.backup")
    assert (alone.code, "the key of the secrets" in alone.out) == (0, True)

    assert tipline_("restore", "one.backup", "--data", "data").err.startswith("error: the directory is not empty")
    assert tipline_("restore", "one.backup").code == 1
    done = tipline_("restore", "one.backup", "--data", "again")
    assert done.code == 0
    assert "compare their far sides before they write" in done.out
    assert tipline_("verify", "--data", "again", "--json").json["equal"]
    assert tipline_("list", "all", "--data", "again", "--json").json == before
