"""Takes pictures of the pages for the documentation: `python -m web.screenshots FOLDER`, from the folder `tests`."""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

from web import stage

PICTURES = {
    "overview": "/overview?period=1h",
    "pipeline": "/pipeline",
    "editing": "/pipeline/new?entry=abusech-feodo-ip",
    "feeds": "/feeds",
    "library": "/feeds/library?q=phishing",
    "worth": "/feeds/overlap",
    "indicators": "/indicators?text=203.0.114",
    "warning-lists": "/administration/warning-lists",
}


def take(folder: Path) -> None:
    """One picture of each page, light and dark."""
    with tempfile.TemporaryDirectory() as directory, stage.lab(Path(directory)) as lab, stage.browser() as browser:
        lab.operations.call("warning_lists_set", {"recommended": True})
        for theme in ("light", "dark"):
            context = stage.signed_in(browser, lab, theme=theme)
            page = context.new_page()
            page.set_viewport_size({"width": 1280, "height": 860})
            for name, path in PICTURES.items():
                page.goto(lab.ui(path))
                page.locator(".signal[data-state=on]").wait_for()
                page.screenshot(path=folder / f"{name}-{theme}.png")
            context.close()


if __name__ == "__main__":
    take(Path(sys.argv[1]))
