from __future__ import annotations

import httpx
import pytest

from tipline.errors import ConfigError
from tipline.microsoft.explain import Advice
from tipline.microsoft.pace import RateLimiter, StoppedError
from tipline.microsoft.transport import Api, ApiError, Connection, retry_after


@pytest.fixture
def api(clock, tokens, connect, far_side):
    opened = []

    def build(*script, advise=None, **patience):
        side = far_side(*script)
        more = {"advise": advise} if advise else {}
        made = Api(
            service="Defender",
            base_url="https://api.test/api/indicators",
            scope="scope",
            tokens=tokens,
            limiter=RateLimiter({}, clock),
            connection=connect(side, **patience),
            **more,
        )
        opened.append(made)
        return made, side

    yield build
    for each in opened:
        each.close()


def json_response(status, body, **headers):
    return httpx.Response(status, json=body, headers=headers)


def test_a_call_carries_the_token_and_parses_the_answer(api):
    made, side = api(json_response(200, {"value": []}))
    assert made.call("POST", "/import", "import", body={"a": "é"}).body == {"value": []}
    request = side.requests[0]
    assert str(request.url) == "https://api.test/api/indicators/import"
    assert request.headers["Authorization"] == "Bearer t1"
    assert request.headers["Content-Type"] == "application/json"


def test_an_empty_answer_is_none(api):
    made, _ = api(httpx.Response(204))
    assert made.call("DELETE", "/1", "delete") == (204, None)


@pytest.mark.parametrize("status", [408, 429, 500, 502, 503, 504])
def test_passing_troubles_are_retried_until_they_pass(api, status):
    made, side = api(status, status, httpx.Response(200))
    assert made.call("GET", "", "list").status == 200
    assert len(side.requests) == 3


@pytest.mark.parametrize("status", [400, 403, 404, 409, 413, 501])
def test_refusals_are_not_retried(api, status):
    made, side = api(status)
    with pytest.raises(ApiError) as caught:
        made.call("GET", "", "list")
    assert (caught.value.status, caught.value.retryable, len(side.requests)) == (status, False, 1)


def test_attempts_are_bounded_and_the_failure_stays_retryable(api):
    made, side = api(500, attempts=3)
    with pytest.raises(ApiError) as caught:
        made.call("GET", "", "list")
    assert caught.value.retryable
    assert len(side.requests) == 3


@pytest.mark.parametrize(
    "error", [httpx.ConnectError("refused"), httpx.ReadTimeout("slow"), httpx.RemoteProtocolError("cut")]
)
def test_dropped_connections_are_retried(api, error):
    made, side = api(error, httpx.Response(200))
    assert made.call("POST", "/import", "import", body={}).status == 200
    assert len(side.requests) == 2


def test_an_unsafe_call_is_only_repeated_when_it_was_surely_not_done(api):
    made, side = api(httpx.ConnectError("refused"), 429, httpx.ReadTimeout("slow"))
    with pytest.raises(ApiError, match="cannot be reached"):
        made.call("POST", "/create", "create", body={}, safe=False)
    assert len(side.requests) == 3


def test_429_waits_as_long_as_the_header_says_and_holds_the_route(api, clock):
    made, _ = api(httpx.Response(429, headers={"Retry-After": "37"}), httpx.Response(200))
    made.call("GET", "", "list")
    assert clock.waits == [37.0]


def test_429_waits_as_long_as_the_message_says(api, clock):
    body = {"statusCode": 429, "message": "Rate limit is exceeded. Try again in 12 seconds."}
    made, _ = api(json_response(429, body), httpx.Response(200))
    made.call("GET", "", "list")
    assert clock.waits == [12.0]


def test_back_off_doubles_up_to_a_cap_when_the_far_side_says_nothing(api, clock):
    made, _ = api(503, 503, 503, 503, httpx.Response(200), first_backoff=2, backoff_cap=10)
    made.call("GET", "", "list")
    assert clock.waits == [2.0, 4.0, 8.0, 10.0]


def test_a_far_side_that_asks_for_too_long_a_wait_is_left_to_the_caller(api, clock):
    made, side = api(httpx.Response(429, headers={"Retry-After": "3600"}))
    with pytest.raises(ApiError) as caught:
        made.call("GET", "", "list")
    assert (caught.value.retry_after, caught.value.retryable) == (3600.0, True)
    assert clock.waits == []
    assert len(side.requests) == 1


def test_a_shutdown_ends_a_wait_between_attempts(api, clock):
    made, _ = api(503)
    clock.stopped = True
    with pytest.raises(StoppedError):
        made.call("GET", "", "list")


def test_a_rejected_token_is_renewed_once(api, tokens):
    made, side = api(401, httpx.Response(200))
    assert made.call("GET", "", "list").status == 200
    assert [r.headers["Authorization"] for r in side.requests] == ["Bearer t1", "Bearer t2"]


def test_a_second_401_is_a_refusal(api):
    made, side = api(401)
    with pytest.raises(ApiError) as caught:
        made.call("GET", "", "list")
    assert (caught.value.status, len(side.requests)) == (401, 2)


def test_401_is_not_repeated_with_the_same_token(api, tokens):
    tokens.tokens = ["only"]
    made, side = api(401)
    with pytest.raises(ApiError):
        made.call("GET", "", "list")
    assert len(side.requests) == 1


@pytest.mark.parametrize(
    ("body", "code", "words"),
    [
        ({"error": {"code": "InvalidInput", "message": "bad", "target": "g"}}, "InvalidInput", "bad"),
        ({"statusCode": 404, "message": "no workspace"}, "", "no workspace"),
        ({"error": "invalid_client", "error_description": "x"}, "invalid_client", ""),
        ({"detail": 1}, "", '{"detail":1}'),
        (["odd"], "", '["odd"]'),
    ],
)
def test_every_shape_of_refusal_is_read(api, body, code, words):
    made, _ = api(json_response(400, body))
    with pytest.raises(ApiError) as caught:
        made.call("GET", "", "list")
    assert caught.value.error_code == code
    assert words in caught.value.what
    assert caught.value.body == body


def test_an_answer_that_is_not_json_is_a_passing_trouble(api):
    made, _ = api(httpx.Response(200, text="<html>portal</html>"), json_response(200, {"value": []}))
    assert made.call("GET", "", "list").body == {"value": []}


def test_advice_leads_the_message_and_the_far_sides_words_follow(api):
    body = {"error": {"code": "Forbidden", "message": "no"}}
    made, _ = api(json_response(403, body), advise=lambda *_: Advice("the role is missing", "add it"))
    with pytest.raises(ApiError) as caught:
        made.call("GET", "", "list")
    assert str(caught.value) == (
        "Defender GET /api/indicators: the role is missing (Defender said 403 Forbidden: no) (add it)"
    )


def test_a_token_that_the_far_side_echoes_is_not_repeated(api, tokens):
    tokens.tokens = ["eyJsecret"]
    made, _ = api(json_response(400, {"message": "bad token eyJsecret"}))
    with pytest.raises(ApiError) as caught:
        made.call("GET", "", "list")
    assert "eyJsecret" not in str(caught.value)


def test_a_link_to_another_host_is_followed_on_ours(api):
    made, side = api(json_response(200, {"value": []}))
    made.call("GET", "https://elsewhere.test/api/indicators?$skip=5", "list")
    assert str(side.requests[0].url) == "https://api.test/api/indicators?$skip=5"


def test_retry_after_reads_seconds_dates_and_words():
    now = 1_700_000_000.0  # Tue, 14 Nov 2023 22:13:20 GMT
    assert retry_after({"Retry-After": "7"}, "", now) == 7
    assert retry_after({"Retry-After": "Tue, 14 Nov 2023 22:13:30 GMT"}, "", now) == 10
    assert retry_after({"Retry-After": "Tue, 14 Nov 2023 22:13:00 GMT"}, "", now) == 0
    assert retry_after({"Retry-After": "soon"}, "Try again in 9 seconds.", now) == 9
    assert retry_after({"Retry-After": "3"}, "Try again in 9 seconds.", now) == 3
    assert retry_after({}, "nothing", now) is None


def test_a_ca_file_that_is_not_there_is_a_setting_to_correct(clock, tokens, tmp_path):
    with pytest.raises(ConfigError, match="ca_file"):
        Api(
            service="x",
            base_url="https://api.test",
            scope="s",
            tokens=tokens,
            limiter=RateLimiter({}, clock),
            connection=Connection(ca_file=tmp_path / "none.pem"),
        )
