"""Runs Canaille on loopback with people, groups and one client; started by `openid.py` in the peers' environment."""

import datetime as dt
import json
import sys
from pathlib import Path

from canaille import create_app
from canaille.app import models
from canaille.backends import Backend
from joserfc.jwk import JWKRegistry
from werkzeug.serving import run_simple


def key():
    """A new signing key."""
    made = JWKRegistry.generate_key("RSA", 2048)
    made.ensure_kid()
    return made.as_dict(private=True)


wanted = json.loads(Path(sys.argv[1]).read_text())
app = create_app(
    config={
        "SECRET_KEY": "only for a test",
        "SERVER_NAME": f"localhost:{wanted['port']}",
        "PREFERRED_URL_SCHEME": "http",
        "CANAILLE": {
            "DATABASE": "memory",
            "JAVASCRIPT": False,
            "ACL": {"DEFAULT": {"PERMISSIONS": ["use_oidc"], "READ": ["user_name", "groups"]}},
        },
        "CANAILLE_OIDC": {"ACTIVE_JWKS": [key()], "TRUSTED_DOMAINS": ["127.0.0.1"]},
    },
)


@app.get("/test/turn-keys")
def turn_keys():
    """Sign with another key; the old one still verifies."""
    settings = app.config["CANAILLE_OIDC"]
    settings["INACTIVE_JWKS"] = settings["ACTIVE_JWKS"]
    settings["ACTIVE_JWKS"] = [key()]
    return ""


with app.app_context():
    store = Backend.instance
    groups = {}
    for name, theirs in wanted["people"].items():
        person = models.User(
            user_name=name,
            password=wanted["password"],
            formatted_name=f"{name.title()} Example",
            family_name="Example",
            given_name=name.title(),
            display_name=name,
            emails=[f"{name}@example.org"],
        )
        store.save(person)
        for each in theirs:
            groups.setdefault(each, []).append(person)
    for each, people in groups.items():
        store.save(models.Group(display_name=each, members=people))
    client = models.Client(
        client_id=wanted["client"],
        client_secret=wanted["secret"],
        client_name="tipline",
        client_uri="http://127.0.0.1",
        client_id_issued_at=dt.datetime.now(dt.UTC),
        redirect_uris=[wanted["back"]],
        post_logout_redirect_uris=[wanted["back"].split("/sign-on/")[0] + "/sign-in"],
        grant_types=["authorization_code"],
        response_types=["code"],
        scope=["openid", "profile", "email", "groups"],
        token_endpoint_auth_method="client_secret_basic",
    )
    store.save(client)
    client.audience = [client]
    store.save(client)
run_simple("localhost", wanted["port"], app, threaded=True)
