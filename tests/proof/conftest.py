"""The loopback web servers of the fetch tests."""

from __future__ import annotations

from sources.conftest import _no_proxy, serve, web

__all__ = ["_no_proxy", "serve", "web"]
