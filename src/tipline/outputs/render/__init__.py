"""Renders what an output publishes as text: plain lines, CSV and JSON, one small module each."""

from tipline.outputs.render.dialect import Dialect, Format
from tipline.outputs.render.layouts import EXTENSIONS, MEDIA_TYPES, layout
from tipline.outputs.render.stream import Rendered, render

__all__ = ["EXTENSIONS", "MEDIA_TYPES", "Dialect", "Format", "Rendered", "layout", "render"]
