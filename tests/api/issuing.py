"""An OpenID provider that says whatever a test wants: it signs rightly or wrongly, and keeps what it was asked."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from urllib.parse import parse_qs, urlsplit

import jwt
from cryptography.hazmat.primitives.asymmetric import rsa
from fastapi import APIRouter, Request
from fastapi.responses import JSONResponse, Response

from api.listening import listening

CLIENT, SECRET = "tipline-here", "the secret of the client"


class Provider:
    """What it says, and what it was asked.

    Attributes:
        url: its address, which is its issuer.
        claims: of the next id_token, over the right ones; None takes one out.
        more: of the user-info endpoint.
        document: over its discovery document.
        token: sent in place of an id_token that it would sign.
        codes: that it takes, each once, with the verifier's challenge.
        down: whether it answers 503 to everything.
        asked: paths, in the order of the requests.
    """

    def __init__(self) -> None:
        self.url = ""
        self.kid, self.key = "first", _key()
        self.published = {self.kid: self.key}
        self.claims: dict[str, Any] = {}
        self.more: dict[str, Any] = {}
        self.document: dict[str, Any] = {}
        self.token: str | None = None
        self.nonce = ""
        self.codes: dict[str, str] = {}
        self.down = False
        self.asked: list[str] = []
        self.forms: list[dict[str, str]] = []

    def settings(self, **more: Any) -> dict[str, Any]:
        """The configuration that goes with it."""
        usual = {
            "issuer": self.url, "client_id": CLIENT, "client_secret": SECRET,
            "grants": [{"value": "leads", "role": "admin"}, {"value": "soc", "role": "analyst", "team": "blue"}],
        }  # fmt: skip
        return {**usual, **more}

    def turn_keys(self) -> None:
        """Sign with another key, and publish that alone."""
        self.kid, self.key = "second", _key()
        self.published = {self.kid: self.key}

    def right(self) -> dict[str, Any]:
        """The claims of a token that holds."""
        now = int(time.time())
        return {
            "iss": self.url, "aud": CLIENT, "sub": "0-17", "iat": now, "exp": now + 300, "nonce": self.nonce,
            "preferred_username": "ida@example.org", "name": "Ida Example", "groups": ["everyone", "soc"],
        }  # fmt: skip

    def signed(self, claims: dict[str, Any], **how: Any) -> str:
        """A token with claims."""
        kept = {name: value for name, value in claims.items() if value is not None}
        return jwt.encode(
            kept, how.get("key", self.key), how.get("algorithm", "RS256"), {"kid": how.get("kid", self.kid)}
        )

    def router(self) -> APIRouter:
        """Its addresses."""
        router = APIRouter()

        @router.get("/.well-known/openid-configuration")
        def discovery(request: Request) -> Response:
            self.asked.append(request.url.path)
            if self.down:
                return Response(status_code=503)
            found = {
                "issuer": self.url, "authorization_endpoint": f"{self.url}/authorize",
                "token_endpoint": f"{self.url}/token", "jwks_uri": f"{self.url}/keys",
                "userinfo_endpoint": f"{self.url}/who", "end_session_endpoint": f"{self.url}/end",
            }  # fmt: skip
            return JSONResponse({**found, **self.document})

        @router.get("/keys")
        def keys(request: Request) -> Response:
            self.asked.append(request.url.path)
            shown = [
                {**json.loads(jwt.algorithms.RSAAlgorithm.to_jwk(key.public_key())), "kid": kid, "use": "sig"}
                for kid, key in self.published.items()
            ]
            return JSONResponse({"keys": shown})

        @router.post("/token")
        async def token(request: Request) -> Response:
            self.asked.append(request.url.path)
            form = {name: values[0] for name, values in parse_qs((await request.body()).decode()).items()}
            self.forms.append({**form, "authorization": request.headers.get("authorization", "")})
            if self.down:
                return Response(status_code=503)
            if form.get("code") not in self.codes:
                return JSONResponse({"error": "invalid_grant"}, 400)
            del self.codes[form["code"]]
            made = self.token or self.signed({**self.right(), **self.claims})
            return JSONResponse({"access_token": "an access token", "token_type": "Bearer", "id_token": made})

        @router.get("/who")
        def who(request: Request) -> Response:
            self.asked.append(request.url.path)
            right = request.headers.get("authorization") == "Bearer an access token"
            return JSONResponse(self.more, 200 if right else 401)

        return router

    def agrees(self, address: str, code: str = "c0de") -> dict[str, str]:
        """Take a browser that was sent to an address; what it is sent back with."""
        query = {name: values[0] for name, values in parse_qs(urlsplit(address).query).items()}
        self.nonce = query["nonce"]
        self.codes[code] = query["code_challenge"]
        return {"code": code, "state": query["state"]}


@contextmanager
def provider() -> Iterator[Provider]:
    """A provider that listens."""
    found = Provider()
    with listening(found.router()) as found.url:
        yield found


def _key() -> rsa.RSAPrivateKey:
    return rsa.generate_private_key(65537, 2048)
