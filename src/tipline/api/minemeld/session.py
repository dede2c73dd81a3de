"""Signing in as scripts of MineMeld's do that keep a session: `u` and `p` at /login, then a cookie."""

from __future__ import annotations

from http import HTTPStatus
from urllib.parse import parse_qs

from anyio import to_thread
from fastapi import APIRouter, Request
from fastapi.responses import PlainTextResponse, Response

from tipline.api.identity import Identity, comes_from_elsewhere
from tipline.api.minemeld.calls import ElsewhereError, RefusedError, body_of, error
from tipline.engine.signin import SignInRefusedError
from tipline.errors import TiplineError

_FORM = "application/x-www-form-urlencoded"


def add(routes: APIRouter, identity: Identity) -> None:
    """Add the routes."""

    async def login(request: Request) -> Response:
        """MineMeld's API: begin a session with the name u and the password p; the cookie mm-session carries it."""
        try:
            return await to_thread.run_sync(_begin, identity, request, await _given(request))
        except TiplineError as exc:
            return error(exc, bare=True)

    async def logout(request: Request) -> Response:
        """MineMeld's API: end the session."""
        answer = PlainTextResponse("OK")
        if not comes_from_elsewhere(request):
            await to_thread.run_sync(identity.sign_out, request)
            identity.drop_cookie(answer)
        return answer

    for method in ("POST", "GET"):
        described = method == "POST"
        routes.add_api_route("/login", login, methods=[method], response_class=Response, include_in_schema=described)
    routes.add_api_route("/logout", logout, methods=["GET"], response_class=Response)


async def _given(request: Request) -> dict[str, str]:
    """What the query and a form say; the query first, as MineMeld read them."""
    found = dict(request.query_params)
    if request.headers.get("content-type", "").partition(";")[0].strip().lower() == _FORM:
        fields = parse_qs((await body_of(request)).decode("utf-8", "replace"), keep_blank_values=True)
        found = {name: values[0] for name, values in fields.items()} | found
    return found


def _begin(identity: Identity, request: Request, given: dict[str, str]) -> Response:
    for name, words in (("u", "Missing username"), ("p", "Missing password")):
        if name not in given:
            raise RefusedError(HTTPStatus.BAD_REQUEST, words)
    if comes_from_elsewhere(request):
        raise ElsewhereError("this sign-in comes from another site's page")
    try:
        _, secret = identity.sign_in(request, given["u"], given["p"])
    except SignInRefusedError as exc:
        if exc.wait:
            raise
        raise RefusedError(HTTPStatus.UNAUTHORIZED, "Wrong credentials") from None
    answer = PlainTextResponse("OK", headers={"cache-control": "no-store"})
    identity.set_cookie(request, answer, secret, script=True)
    return answer
