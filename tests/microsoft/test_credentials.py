from __future__ import annotations

import copy
from datetime import date

import pytest
from pydantic import ValidationError

from tipline.errors import SignInError
from tipline.microsoft.credentials import Credentials

APP = {"tenant_id": "t", "client_id": "c"}


@pytest.mark.parametrize(
    ("settings", "missing"),
    [
        ({}, ["tenant_id", "client_id", "client_secret"]),
        (APP, ["client_secret"]),
        ({"client_secret": "s"}, ["tenant_id", "client_id"]),
        (APP | {"client_secret": "s"}, []),
        (APP | {"client_secret": ""}, ["client_secret"]),
        (APP | {"certificate_path": "c.pem"}, []),
        ({"managed_identity": True}, []),
        ({"workload_identity": True}, []),
    ],
)
def test_missing_names_what_nobody_can_sign_in_without(settings, missing):
    assert Credentials(**settings).missing() == missing


def test_two_ways_to_sign_in_are_one_too_many():
    with pytest.raises(ValidationError, match="choose one way"):
        Credentials(**APP, client_secret="s", managed_identity=True)


@pytest.mark.parametrize("wrong", [{"login_url": "http://x"}, {"secret": "s"}, {"cloud": "mars"}])
def test_wrong_settings_are_told_at_once(wrong):
    with pytest.raises(ValidationError):
        Credentials(**wrong)


def test_overrides_reach_the_endpoints():
    found = Credentials(cloud="gcc-high", arm_url="https://localhost:1", upload_array="x").endpoints
    assert (found.arm_url, found.upload_array) == ("https://localhost:1", "x")
    assert found.login_url == "https://login.microsoftonline.us"


def test_copies_sign_in_for_themselves(monkeypatch):
    opened = []

    def refuse(self):
        opened.append(self.client_id)
        raise ValueError("no network here")

    monkeypatch.setattr(Credentials, "_open", refuse)
    made = Credentials(**APP, client_secret="s")
    for each in (made, copy.deepcopy(made), made.model_copy(update={"client_id": "other"})):
        with pytest.raises(SignInError, match=f"app {each.client_id}"):
            each.token("a")
    assert opened == ["c", "c", "other"]


def test_days_left():
    made = Credentials(secret_expires=date(2026, 12, 1))
    assert made.secret_days_left(date(2026, 11, 24)) == 7
    assert made.secret_days_left(date(2026, 12, 2)) == -1
    assert Credentials().secret_days_left(date(2026, 12, 2)) is None


def test_secrets_are_in_no_representation():
    made = Credentials(**APP, client_secret="hunter2")
    for text in (
        repr(made),
        str(made),
        str(made.model_dump()),
        made.model_dump_json(),
        repr(copy.deepcopy(made)),
    ):
        assert "hunter2" not in text
