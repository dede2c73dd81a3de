"""Renders what an output publishes as text: one small module or one row of a table for each format."""

from tipline.outputs.render.dialect import Dialect, Format
from tipline.outputs.render.layouts import EXTENSIONS, MEDIA_TYPES, SPECS, layout
from tipline.outputs.render.spec import Context
from tipline.outputs.render.stream import Rendered, render

__all__ = [
    "EXTENSIONS",
    "MEDIA_TYPES",
    "SPECS",
    "Context",
    "Dialect",
    "Format",
    "Rendered",
    "layout",
    "render",
]
