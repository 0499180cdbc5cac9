"""Error answers of the API: the reason of each, the wait it asks for, and errors of every shape."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Mapping
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from gemcli.api import http_errors
from gemcli.api.http_errors import error_of_response
from gemcli.errors import EXIT, GemcliError
from tests.builders import json_values, quota_failure, retry_info


def details(*entries: Mapping[str, Any]) -> dict[str, Any]:
    """The details of an error."""
    return {"details": list(entries)}


def error_of(http: int, error: Any, headers: Mapping[str, str] | None = None) -> GemcliError:
    """What an answer with this error object means."""
    return error_of_response(http, headers or {}, json.dumps({"error": error}).encode())


ORDER = "Please ensure that function call turn comes immediately after a user turn."
PARTS = "* GenerateContentRequest.contents[0].parts: contents.parts must not be empty."
TOO_LONG = "The input token count (1048577) exceeds the maximum number of tokens allowed."

REASONS: dict[str, tuple[int, dict[str, Any], str]] = {
    "204": (204, {}, "BAD_RESPONSE"),
    "301": (301, {}, "REDIRECT"),
    "307": (307, {}, "REDIRECT"),
    "400": (400, {"status": "INVALID_ARGUMENT", "message": "no"}, "BAD_REQUEST"),
    "400-order": (400, {"message": ORDER}, "TURN_ORDER"),
    "400-roles": (400, {"message": "Please use a valid role: user, model."}, "TURN_ORDER"),
    "400-parts": (400, {"message": PARTS}, "TURN_ORDER"),
    "400-too-long": (400, {"message": TOO_LONG}, "CONTEXT_TOO_LONG"),
    "400-key": (400, details({"reason": "API_KEY_INVALID"}), "API_KEY_INVALID"),
    "400-key-message": (400, {"message": "API key not valid."}, "API_KEY_INVALID"),
    "400-region": (400, {"status": "FAILED_PRECONDITION"}, "PRECONDITION"),
    "401": (401, {"status": "UNAUTHENTICATED"}, "UNAUTHENTICATED"),
    "402": (402, {}, "QUOTA_DAILY"),
    "403": (403, {"message": "Your key was reported as leaked."}, "PERMISSION_DENIED"),
    "404": (404, {"status": "NOT_FOUND"}, "MODEL_NOT_FOUND"),
    "405": (405, {}, "MODEL_NOT_FOUND"),
    "408": (408, {}, "SERVER_TIMEOUT"),
    "409": (409, {"status": "ABORTED"}, "ABORTED"),
    "413": (413, {}, "TOO_LARGE"),
    "429": (429, {}, "RATE_LIMIT"),
    "429-minute": (429, details(quota_failure("GenerateRequestsPerMinutePerProjectPerModel")), "RATE_LIMIT"),
    "429-day": (429, details(quota_failure("GenerateRequestsPerDayPerProjectPerModel-FreeTier")), "QUOTA_DAILY"),
    "429-limit-0": (429, {"message": "Quota exceeded for metric: requests, limit: 0"}, "QUOTA_DAILY"),
    "429-limit-05": (429, {"message": "limit: 05"}, "RATE_LIMIT"),
    "499": (499, {"status": "CANCELLED"}, "CANCELLED"),
    "500": (500, {"status": "INTERNAL"}, "SERVER_ERROR"),
    "501": (501, {}, "SERVER_ERROR"),
    "502": (502, {}, "UNAVAILABLE"),
    "503": (503, {"message": "The model is overloaded."}, "UNAVAILABLE"),
    "504": (504, {"status": "DEADLINE_EXCEEDED"}, "SERVER_TIMEOUT"),
}


@pytest.mark.parametrize(("http", "fault", "reason"), REASONS.values(), ids=REASONS)
def test_reasons(http: int, fault: Mapping[str, Any], reason: str) -> None:
    """Each error answer has its reason, also as a list of one, and all but a 2xx may be sent again."""
    error = error_of(http, fault)
    assert (error.reason, error.http, error.outcome) == (reason, http, "unknown" if http == 204 else "rejected")
    as_list = error_of_response(http, {}, json.dumps([{"error": fault}]).encode())
    assert as_list.to_json() == error.to_json()


def test_a_daily_quota_is_not_over_in_a_minute() -> None:
    """The API says so all the same, and another time in each answer: it is left out of the message."""
    text = "You exceeded your quota, limit: 0\nPlease retry in 53.190234s. See the documentation."
    error = error_of(429, {"message": text})
    assert error.message == "a quota is used up (HTTP 429): You exceeded your quota, limit: 0 See the documentation"
    assert (error.reason, error.retryable) == ("QUOTA_DAILY", False)


CONTRACT = {
    "BAD_RESPONSE": (76, "INTERNAL"),
    "REDIRECT": (78, "FAILED_PRECONDITION"),
    "BAD_REQUEST": (65, "INVALID_ARGUMENT"),
    "TURN_ORDER": (65, "INVALID_ARGUMENT"),
    "CONTEXT_TOO_LONG": (65, "INVALID_ARGUMENT"),
    "TOO_LARGE": (65, "INVALID_ARGUMENT"),
    "API_KEY_INVALID": (77, "UNAUTHENTICATED"),
    "UNAUTHENTICATED": (77, "UNAUTHENTICATED"),
    "PERMISSION_DENIED": (77, "PERMISSION_DENIED"),
    "PRECONDITION": (78, "FAILED_PRECONDITION"),
    "MODEL_NOT_FOUND": (78, "NOT_FOUND"),
    "QUOTA_DAILY": (69, "RESOURCE_EXHAUSTED"),
    "RATE_LIMIT": (75, "RESOURCE_EXHAUSTED"),
    "SERVER_TIMEOUT": (75, "DEADLINE_EXCEEDED"),
    "ABORTED": (75, "ABORTED"),
    "CANCELLED": (75, "CANCELLED"),
    "SERVER_ERROR": (75, "INTERNAL"),
    "UNAVAILABLE": (75, "UNAVAILABLE"),
}


def test_what_a_script_sees() -> None:
    """The exit status and the code of each of these reasons are a contract; those with 75 may be run again."""
    errors = [error_of(http, fault) for http, fault, _ in REASONS.values()]
    assert {error.reason: (error.exit, error.code) for error in errors} == CONTRACT
    assert all(error.retryable == (error.exit == 75) for error in errors)


GOOGLE = b'{"error": {"status": "UNAVAILABLE", "message": " Try  later.\\n"}}'
HTML = b"<html><style>p {}</style><title>Bad</title>\n<h1>Gateway</h1><script>x</script>"
LIST_MODELS = (
    "models/x is not found for API version v1beta, or is not supported for generateContent. "
    "Call ListModels to see the list of available models and their supported methods."
)
DOWN = "the API is not available (HTTP 502"
UNKNOWN = "the server does not know this model, or this version of the API (HTTP 404"

MESSAGES: dict[str, tuple[int, dict[str, str], bytes, str]] = {
    "google": (502, {}, GOOGLE, f"{DOWN} UNAVAILABLE): Try later"),
    "html": (502, {}, HTML, f"{DOWN}): Bad Gateway"),
    "text": (502, {}, b"upstream  gone", f"{DOWN}): upstream gone"),
    "json-text": (502, {}, b'"gone"', f"{DOWN}): gone"),
    "bytes": (502, {}, b"\xff\xfe", f"{DOWN}): \ufffd\ufffd"),
    "empty": (502, {}, b"", f"{DOWN})"),
    "error-text": (502, {}, b'{"error": "down!"}', f"{DOWN}): down!"),
    "error-null": (502, {}, b'{"error": null}', f'{DOWN}): {{"error":null}}'),
    "error-list": (502, {}, b'{"error": [1]}', f'{DOWN}): {{"error":[1]}}'),
    "error-detail": (502, {}, b'{"error": {"detail": "x"}}', f"{DOWN}): x"),
    "list-empty": (502, {}, b"[]", f"{DOWN})"),
    "number": (502, {}, b"5", f"{DOWN}): 5"),
    "message-null": (502, {}, b'{"error": {"message": null, "status": 5}}', f"{DOWN})"),
    "message-list": (502, {}, b'{"error": {"message": [{"a": 1}]}}', f'{DOWN}): [{{"a":1}}]'),
    "message": (404, {}, b'{"message": "no Route matched"}', f"{UNKNOWN}): no Route matched"),
    "detail": (404, {}, b'{"detail": "Not Found"}', f"{UNKNOWN}): Not Found"),
    "details": (404, {}, b'{"detail": [{"msg": "x"}]}', f'{UNKNOWN}): {{"detail":[{{"msg":"x"}}]}}'),
    "list-models": (
        404, {}, json.dumps({"error": {"message": LIST_MODELS}}).encode(),
        f"{UNKNOWN}): models/x is not found for API version v1beta, or is not supported for generateContent",
    ),
    "redirect": (307, {"location": "https://x/"}, b"", "the server redirects (HTTP 307) to https://x/"),
    "redirect-nowhere": (307, {}, b"", "the server redirects (HTTP 307) to nowhere"),
}  # fmt: skip


@pytest.mark.parametrize(("http", "headers", "body", "message"), MESSAGES.values(), ids=MESSAGES)
def test_messages(http: int, headers: Mapping[str, str], body: bytes, message: str) -> None:
    """A message says in our words what happened, and then what an answer of any shape says, without its full stop."""
    assert error_of_response(http, headers, body).message == message


def test_words() -> None:
    """Each reason that an error answer can have has words, with a lower-case start and no full stop."""
    reasons = {*http_errors.BY_STATUS.values(), *http_errors.BY_CLASS.values()}
    reasons |= {reason for _, reason in http_errors.BY_MESSAGE} | {"API_KEY_INVALID", "PRECONDITION", "RATE_LIMIT"}
    assert set(http_errors.WORDS) == reasons
    assert all(words[0].islower() or words.startswith("API") for words in http_errors.WORDS.values())


@pytest.mark.parametrize("body", [b"word " * 2000, json.dumps({"error": {"message": "word " * 2000}}).encode()])
def test_long_texts_are_cut(body: bytes) -> None:
    """Of a long text only the beginning is in the message, and no half of a secret is left at its end."""
    assert len(error_of_response(502, {}, body).message) < 1100
    secret = "a-secret-of-the-user"
    for place in range(150, 4010, 7):
        cut = body.replace(b"word " * (place // 5), b"x " * (place // 2) + secret.encode(), 1)
        assert "a-s" not in error_of_response(502, {}, cut).message.replace(secret, "")


def test_no_half_of_a_secret() -> None:
    """A secret is left whole, to be hidden, or left out where a status, a location or a page is cut."""
    secret = "a-secret-of-the-user"
    for place in range(80, 100):
        status = {"error": {"status": "x" * place + secret}}
        event = http_errors.error_in_answer(status)
        assert event
        errors = [
            event,
            error_of_response(500, {}, json.dumps(status).encode()),
            error_of_response(302, {"location": "x" * (place + 900) + secret}, b""),
            error_of_response(502, {}, b"<p>" * 1300 + b"x" * place + secret.encode()),
        ]
        assert not any("a-s" in error.message.replace(secret, "") for error in errors)


SPACES = json.dumps({"error": {"message": "limit: 0" + " " * 1_000_000 + "x"}}).encode()


@pytest.mark.parametrize("page", [b"<" * 1_000_000, b"<style" * 150_000, SPACES], ids=["brackets", "styles", "spaces"])
@pytest.mark.slow
def test_large_pages_take_no_time(page: bytes) -> None:
    """A page of any size and shape is read at once: nobody could stop a pattern that takes minutes."""
    program = (
        "import sys; from gemcli.api import http_errors as e; e.error_of_response(429, {}, sys.stdin.buffer.read())"
    )
    subprocess.run([sys.executable, "-c", program], input=page, timeout=10, check=True)


WAITS: dict[str, tuple[str | None, dict[str, Any], float | None]] = {
    "nothing": (None, {}, None),
    "retry-info": (None, details(retry_info("37s")), 37),
    "retry-info-decimal": (None, details(retry_info("2.5s")), 2.5),
    "retry-info-nanos": (None, details(retry_info("0.123456789s")), 0.123456789),
    "retry-info-ms": (None, details(retry_info("900ms")), 0.9),
    "retry-info-zero": (None, details(retry_info("0s")), 0),
    "retry-info-second": (None, details({"reason": "X"}, retry_info("4s")), 4),
    "message": (None, {"message": "Quota. Please retry in 31.5s."}, 31.5),
    "message-ms": (None, {"message": "Please retry in 720.5ms."}, 0.7205),
    "header": ("7", {}, 7),
    "header-past-date": ("Wed, 21 Oct 2015 07:28:00 GMT", {}, 0),
    "retry-info-before-header": ("7", details(retry_info("3s")), 3),
    "retry-info-before-message": (None, {"message": "retry in 9s", **details(retry_info("3s"))}, 3),
    "header-before-message": ("7", {"message": "Please retry in 3s."}, 7),
    "broken-retry-info-then-header": ("7", details(retry_info("soon")), 7),
    "broken-number": (None, details(retry_info(3)), None),
    "broken-negative": (None, details(retry_info("-3s")), None),
    "broken-words": ("soon", {"message": "Please retry in a while"}, None),
    "broken-dots": (None, {"message": "retry in 1.2.3s"}, None),
    "beyond-all-numbers": (None, details(retry_info("9" * 400 + "s")), None),
}


@pytest.mark.parametrize(("header", "fault", "seconds"), WAITS.values(), ids=WAITS)
def test_retry_after(header: str | None, fault: Mapping[str, Any], seconds: float | None) -> None:
    """The wait that a server asks for comes from RetryInfo, else Retry-After, else the message."""
    headers = {} if header is None else {"retry-after": header}
    assert error_of(429, fault, headers).retry_after == seconds


JSON = json_values(keys=st.sampled_from(["error", "message", "status", "details", "violations", "reason"]))
DETAIL = st.fixed_dictionaries(
    {},
    optional={
        "@type": JSON | st.just("google.rpc.RetryInfo"),
        "retryDelay": JSON | st.from_regex(r"[0-9.]{1,400}m?s", fullmatch=True),
        "violations": JSON | st.lists(st.dictionaries(st.sampled_from(["quotaId", "quotaMetric"]), JSON)),
        "reason": JSON,
    },
)
FAULT = st.fixed_dictionaries(
    {},
    optional={
        "message": JSON | st.from_regex(r"retry in [0-9.]{1,400}m?s", fullmatch=True),
        "status": JSON,
        "details": JSON | st.lists(DETAIL | JSON, max_size=3),
    },
)
ERRORS = JSON | FAULT.map(lambda fault: {"error": fault})


@example(429, b'{"error": {"details": [{"violations": 5}]}}')
@example(429, b'{"error": {"details": [{"violations": {"a": 1}, "retryDelay": {}}], "message": {"a": 1}}}')
@given(
    st.sampled_from([201, 204, 302, 400, 401, 404, 418, 429, 429, 429, 500, 503, 599]),
    st.binary(max_size=60) | ERRORS.map(lambda value: json.dumps(value).encode()),
)
def test_any_body(http: int, body: bytes) -> None:
    """Any body of an error answer is a GemcliError that can be printed as strict JSON."""
    error = error_of_response(http, {"retry-after": "1"}, body)
    assert error.exit in EXIT.values()
    assert json.dumps(error.to_json(), allow_nan=False)
