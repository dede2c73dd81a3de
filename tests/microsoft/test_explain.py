from __future__ import annotations

import pytest

from tipline.microsoft import explain


@pytest.mark.parametrize(
    ("code", "what", "fix"),
    [
        (7000215, "secret is wrong", "not its Secret ID"),
        (7000222, "secret has expired", "secret_expires"),
        (7000218, "no client secret", "certificate_path"),
        (700016, "not in this tenant", "client_id"),
        (7000112, "disabled", "Enterprise applications"),
        (500011, "does not exist in this tenant", "not provisioned"),
        (70011, "scope", "/.default"),
        (90002, "no such tenant", "tenant_id"),
        (65001, "consented", "grant admin consent"),
        (700027, "certificate", "thumbprints"),
        (700024, "time range", "clock"),
    ],
)
def test_each_code_says_what_to_do(code, what, fix):
    text = f"Authentication failed: AADSTS{code}: words. Trace ID: a Correlation ID: b Timestamp: c"
    error = explain.sign_in_error(text, where="tenant t, app a")
    assert what in error.what
    assert f"AADSTS{code}" in error.what
    assert fix in error.fix
    assert error.where == "tenant t, app a"
    assert not error.retryable


def test_an_unknown_code_is_explained_by_oauths_word_and_keeps_microsofts_text():
    error = explain.sign_in_error("invalid_client: AADSTS999999: new", where="x")
    assert "refused" in error.what
    assert "AADSTS999999" in error.what


def test_an_unknown_text_is_shown_without_trace_ids():
    error = explain.sign_in_error("AADSTS12345: odd thing\r\nTrace ID: abc", where="x")
    assert "odd thing" in error.what
    assert "abc" not in error.what


def test_a_secret_in_microsofts_words_is_not_shown():
    error = explain.sign_in_error("odd: hunter2 was sent", where="x", secrets=["hunter2"])
    assert "hunter2" not in str(error)


def test_roles_are_read_from_a_token_and_junk_has_none(jwt):
    assert explain.roles(jwt("Ti.ReadWrite.All", "Alert.Read.All")) == {"Ti.ReadWrite.All", "Alert.Read.All"}
    for junk in ("", "a.b", "a.!!.c", "a.bnVsbA.c", "a.eyJyb2xlcyI6MX0.c"):
        assert explain.roles(junk) == frozenset()


def test_defenders_refusal_names_the_roles_that_are_there_and_the_one_to_add():
    advice = explain.defender_forbidden({"Alert.Read.All"})
    assert "it has Alert.Read.All" in advice.what
    assert "add application permission WindowsDefenderATP > Ti.ReadWrite.All and grant admin consent" in advice.fix
    assert "no roles at all" in explain.defender_forbidden([]).what


def test_defenders_refusal_of_a_token_with_the_role_is_about_something_else():
    assert "device groups" in explain.defender_forbidden({"Ti.ReadWrite"}).what


def test_the_retired_permission_is_recognised():
    advice = explain.sentinel_forbidden({"ThreatIndicators.ReadWrite.OwnedBy"})
    assert "retired permission ThreatIndicators.ReadWrite.OwnedBy" in advice.what
    assert "Microsoft Sentinel Contributor" in advice.what
    assert "take time to propagate" in advice.fix


def test_sentinels_other_refusals_name_the_role_and_the_workspace_id():
    assert "Microsoft Sentinel Contributor" in explain.sentinel_forbidden([]).fix
    assert "GUID" in explain.sentinel_not_found("my-workspace").fix
