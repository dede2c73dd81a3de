"""What the contract tests use: the loopback web server of the sources' tests."""

from sources.conftest import _no_proxy, serve, web

__all__ = ["_no_proxy", "serve", "web"]
