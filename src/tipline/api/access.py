"""Who asks over HTTP, and whether they may read an output: by key, by reader's password, by address."""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import secrets
import threading
import weakref
from collections import OrderedDict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeVar
from urllib.parse import parse_qsl
from weakref import WeakKeyDictionary

from starlette.requests import Request

from tipline.api.client import address_of, in_networks
from tipline.engine.asker import Asker
from tipline.engine.core import Engine
from tipline.engine.signin import SignIn
from tipline.outputs.access import AccessSettings
from tipline.passwords import verify

_MOST_PARAMETERS = 100
# Verified pairs of password and hash that are remembered, and how many are verified at the same time.
_REMEMBERED = 4096
_AT_A_TIME = 2
# How a socket for both families shows an IPv4 address.
_MAPPED = "::ffff:"
_MEMORY = "tipline.reader"
NameT = TypeVar("NameT")


@dataclass(frozen=True)
class Shown:
    """What a request shows of who asks.

    Attributes:
        user: the name of basic authentication; empty for other ways.
        secrets: what may be keys, or the password.
    """

    user: str = ""
    secrets: tuple[bytes, ...] = ()


@dataclass(frozen=True)
class User:
    """A user of this server who asks, and the tags of lists that they may read."""

    asker: Asker
    tags: frozenset[str]


def shown(headers: Mapping[str, str], query: str = "") -> Shown:
    """Read `Authorization` (bearer or basic), `X-API-Key`, and `key=` of an address."""
    found: list[bytes] = []
    user = ""
    scheme, _, rest = headers.get("authorization", "").partition(" ")
    if scheme.lower() == "bearer":
        found.append(rest.strip().encode())
    elif scheme.lower() == "basic":
        try:
            name, _, password = base64.b64decode(rest.strip(), validate=True).partition(b":")
        except (binascii.Error, ValueError):
            return Shown()
        user = name.decode("utf-8", "replace")
        found.append(password)
    if "x-api-key" in headers:
        found.append(headers["x-api-key"].encode())
    try:
        pairs = parse_qsl(query, max_num_fields=_MOST_PARAMETERS)
    except ValueError:
        pairs = []
    return Shown(user, (*found, *(value.encode() for name, value in pairs if name == "key")))


def owner(given: Shown, keys: Iterable[tuple[NameT, str]]) -> NameT | None:
    """Whose key is shown; all are compared, so that the time taken tells nothing."""
    found = [name for name, key in keys if _same(given, key)]
    return found[0] if found else None


def _same(given: Shown, key: str) -> bool:
    # No short cut: every one is compared.
    return max((hmac.compare_digest(one, key.encode()) for one in given.secrets), default=False)


class Gate:
    """Says who may read the outputs of an engine. Use `gate(engine)`: what was verified is remembered there.

    Attributes:
        user_of: the user of this server who asks; None if no user asks. Users may read as readers do.
    """

    def __init__(self, engine: Engine) -> None:
        self.user_of: Callable[[Request], User | None] = lambda _: None
        self._engine: Engine = weakref.proxy(engine)  # it is the key under which this is kept
        self._salt = secrets.token_bytes(32)
        self._signin = SignIn(engine.control, engine.clock)
        self._verified: OrderedDict[bytes, bool] = OrderedDict()
        self._lock = threading.Lock()
        self._verifying = threading.Semaphore(_AT_A_TIME)

    def admits(self, settings: AccessSettings, request: Request) -> bool:
        """Whether whoever asks may read an output (may take a moment, where a password has to be verified).

        Raises:
            SignInRefusedError: this client sent too many wrong passwords.
        """
        if settings.access == "public":
            return True
        if settings.networks and not self._near(settings.networks, request):
            return False
        if settings.access == "network":
            return True
        given = shown(request.headers, request.url.query)
        if settings.access == "key":
            return owner(given, ((True, key.get_secret_value()) for key in settings.keys)) is not None
        return self._known(settings, request, given)

    def _known(self, settings: AccessSettings, request: Request, given: Shown) -> bool:
        """Whether a reader or a user asks who may read an output."""
        reader = self._reader(request, given)
        if reader is not None:
            return self._opens(settings, reader)
        user = self.user_of(request)
        return user is not None and settings.opens_to(user.tags, owns=user.asker.owns(settings))

    def _opens(self, settings: AccessSettings, name: str) -> bool:
        reader = self._engine.configuration.settings.readers.get(name)
        return reader is not None and settings.opens_to(reader.tags, owns=reader.team == settings.team, reader=name)

    def _reader(self, request: Request, given: Shown) -> str | None:
        """Which reader asks; empty: somebody with a reader's name and a wrong password; None: no reader.

        Found once for a request, so that a wrong password counts once, however many outputs it asks for.

        Raises:
            SignInRefusedError: there were too many wrong passwords.
        """
        if _MEMORY not in request.scope:
            request.scope[_MEMORY] = self._found_reader(request, given)
        found: str | None = request.scope[_MEMORY]
        return found

    def _found_reader(self, request: Request, given: Shown) -> str | None:
        readers = self._engine.configuration.settings.readers
        keys = ((name, reader.key.get_secret_value()) for name, reader in readers.items() if reader.key)
        found = owner(given, keys)
        if found is not None:
            return found
        named = readers.get(given.user)
        if named is None or named.password is None or not given.secrets:
            return None
        password, hashed = given.secrets[0], named.password.get_secret_value()
        address = self._address(request)
        # Each client has its own count: nobody shuts a device out by guessing from elsewhere.
        subjects = [f"name:reader {given.user} at {address}", f"address:reader at {address}"]
        right = self._signin.tried(subjects, lambda: self.verified(password, hashed))
        return given.user if right else ""

    def verified(self, password: bytes, hashed: str) -> bool:
        """Whether a password has a hash; the answer is remembered, since readers ask every minute."""
        mark = hmac.new(self._salt, len(password).to_bytes(4, "big") + password + hashed.encode(), hashlib.sha256)
        digest = mark.digest()
        with self._lock:
            known = self._verified.get(digest)
        if known is None:
            with self._verifying:
                known = verify(password, hashed)
            with self._lock:
                self._verified[digest] = known
                while len(self._verified) > _REMEMBERED:
                    self._verified.popitem(last=False)
        return known

    def _near(self, networks: Sequence[str], request: Request) -> bool:
        return in_networks(self._address(request).removeprefix(_MAPPED), networks)

    def _address(self, request: Request) -> str:
        return address_of(request, self._engine.configuration.settings.http.trusted_proxies)


_GATES: WeakKeyDictionary[Engine, Gate] = WeakKeyDictionary()
_GATES_LOCK = threading.Lock()


def gate(engine: Engine) -> Gate:
    """The gate of an engine."""
    with _GATES_LOCK:
        return _GATES.get(engine) or _GATES.setdefault(engine, Gate(engine))
