"""An application on a loopback port, as tests of HTTP need it."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import uvicorn
from fastapi import APIRouter, FastAPI


@contextmanager
def listening(what: FastAPI | APIRouter) -> Iterator[str]:
    """The address of an application, or of one with a single router; it answers from the first request on."""
    app = what if isinstance(what, FastAPI) else FastAPI()
    if isinstance(what, APIRouter):
        app.include_router(what)
    server = uvicorn.Server(uvicorn.Config(app, log_config=None, lifespan="off", ws="none"))
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()  # requests wait until the thread has come up
        thread = threading.Thread(target=server.run, args=([listener],))
        thread.start()
        try:
            yield f"http://127.0.0.1:{listener.getsockname()[1]}"
        finally:
            server.should_exit = True
            thread.join()
