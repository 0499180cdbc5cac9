"""The model that plays rules: which rule takes a message, and what is then replied."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gemcli.errors import GemcliError
from gemcli.simulator import read_rules
from gemcli.simulator.replies import Cut, Reply
from gemcli.simulator.rules_model import NAME, RulesModel, choose_rule, incoming, rules_app
from gemcli.simulator.simulated_api import SimulatedApp, application

from .support import SSE, body_of, call, error_of, json_of, post, response, says, talk, text_of

ARRAY = "streamGenerateContent"
WAIT = [says("user", "What is the weather?"), says("model", call("get_weather"), call("now"))]


def app(*lines: str) -> SimulatedApp:
    """An application with these rules, each given as the text behind its dash."""
    return rules_app("rules:\n" + "".join(f"  - {line}\n" for line in lines), "r.yaml")


def ask(where: SimulatedApp, *contents: Any, verb: str = "generateContent") -> Reply:
    """The reply of `simulator/rules` to these Contents; text is a message of the user."""
    return post(
        {"contents": [says("user", each) if isinstance(each, str) else each for each in contents]}, verb, NAME, where
    )


def answered(where: SimulatedApp, *contents: Any) -> Any:
    """What the model says to these Contents."""
    return text_of(ask(where, *contents))


IN_ORDER = (
    "{when: {contains: sun, turn: 2}, answer: later}",
    "{when: {contains: sun}, answer: first}",
    "{when: {matches: '(?i)^SU.$'}, answer: pattern}",
    "{answer: other}",
)
LAST = ("{when: {contains: sun}, answer: seen}", "{answer: other}")
RESULT = (
    "{when: {after_call: {name: now, result: {time: {h: 12}}}}, answer: noon}",
    "{when: {after_call: {name: now, result: {error: busy}}}, answer: failed}",
    "{answer: other}",
)
AFTER = ("{when: {after_call: now, turn: 1}, answer: noon}", "{answer: other}")


@pytest.mark.parametrize(
    ("lines", "contents", "text"),
    [
        (IN_ORDER, ["a sun"], "first"),
        (IN_ORDER, ["SUN"], "pattern"),
        (IN_ORDER, ["Sun!"], "other"),
        (IN_ORDER, talk("a", "b", "sun"), "later"),
        (IN_ORDER, talk("a", "b", "c", "d", "sun"), "first"),
        (LAST, talk("sun", "sun", "rain"), "other"),
        (LAST, [*WAIT, says("user", response("get_weather", {"text": "sun"}), response("now"))], "other"),
        (AFTER, [*WAIT, says("user", response("get_weather"), response("now"))], "noon"),
        (AFTER, ["now"], "other"),
        *[
            (RESULT, [*WAIT, says("user", response("get_weather", beside), response("now", result))], text)
            for beside, result, text in (
                ({}, {"time": {"h": 12, "m": 0}, "zone": "UTC"}, "noon"),
                ({}, {"time": {"h": 13}}, "other"),
                ({}, {"error": "busy"}, "failed"),
                ({"error": "busy"}, {"time": "12"}, "other"),
            )
        ],
    ],
)
def test_conditions(lines: tuple[str, ...], contents: list[Any], text: str) -> None:
    """The first rule whose conditions all hold replies; they look at the last Content, and at nothing before it."""
    assert answered(app(*lines), *contents) == text


def test_condition_on_the_model() -> None:
    """One RulesModel goes by many names, and knows which one was asked."""
    played = RulesModel(read_rules.load("rules: [{when: {model: gemini-x}, answer: x}, {answer: other}]", "r"))
    where = application({name: played.named(name) for name in (NAME, "gemini-x")})
    answers = [text_of(post({"contents": talk("a")}, model=name, app=where)) for name in (NAME, "gemini-x")]
    assert answers == ["other", "x"]


def test_times() -> None:
    """A rule with `times` steps aside when it was used so often, however many come at once; counting is no use."""
    where = app("{times: 2, answer: twice}", "{when: {contains: a}, times: 1, answer: once}", "{answer: always}")
    ask(where, "a", verb="countTokens")
    assert [answered(where, "a") for _ in range(5)] == ["twice", "twice", "once", "always", "always"]
    where = app("{times: 7, answer: rare}", "{answer: common}")
    with ThreadPoolExecutor(8) as pool:
        assert list(pool.map(lambda _: answered(where, "a"), range(100))).count("rare") == 7


def test_no_rule() -> None:
    """A message that no rule is for is refused, and the error says which; `rules_app` raises what `load` does."""
    reply = ask(app("{when: {contains: sun}, answer: a}"), *talk("a", "b", 'the "moon"'))
    message = 'No rule of r.yaml takes message 2 to simulator/rules: "the \\"moon\\""'
    assert error_of(reply) == (400, "INVALID_ARGUMENT", message)
    with pytest.raises(GemcliError, match=r"r\.yaml: 1 problem"):
        app("nonsense")


def test_whole_response() -> None:
    """A scripted answer has all that a GenerateContentResponse has, and its own usage where given."""
    where = app(
        "answer: {text: 12345678, thoughts: 1234, signature: c2ln, finish: MAX_TOKENS, finish_message: Long., "
        "usage: {prompt_token_count: 100, cached_content_token_count: 64}}"
    )
    body = json_of(ask(where, "a"))
    assert body.pop("responseId").isalnum()
    parts = [{"text": "1234", "thought": True}, {"text": "12345678"}, {"text": "", "thoughtSignature": "c2ln"}]
    assert body == {
        "candidates": [
            {
                "content": {"parts": parts, "role": "model"}, "finishReason": "MAX_TOKENS",
                "finishMessage": "Long.", "index": 0,
            }
        ],
        "usageMetadata": {
            "promptTokenCount": 100, "candidatesTokenCount": 2, "thoughtsTokenCount": 1,
            "cachedContentTokenCount": 64, "totalTokenCount": 103,
            "promptTokensDetails": [{"modality": "TEXT", "tokenCount": 100}],
        },
        "modelVersion": NAME,
    }  # fmt: skip


def test_nothing_said() -> None:
    """An empty answer has a content without parts; a blocked prompt has no candidates, and is counted alone."""
    where = app("{when: {contains: empty}, answer: {finish: SAFETY}}", "block: PROHIBITED_CONTENT")
    empty, blocked = json_of(ask(where, "empty")), json_of(ask(where, "12345678"))
    assert empty["candidates"] == [{"content": {}, "finishReason": "SAFETY", "index": 0}]
    assert blocked["promptFeedback"] == {"blockReason": "PROHIBITED_CONTENT"}
    assert "candidates" not in blocked
    assert blocked["usageMetadata"]["totalTokenCount"] == 2


def test_error() -> None:
    """`error` is an HTTP error; for a stream without alt=sse it is a list of one."""
    where = app("error: {status: RESOURCE_EXHAUSTED, retry_delay: 2.5s, headers: {retry-after: 3}}")
    reply = ask(where, "a")
    assert (reply.status, reply.headers["retry-after"]) == (429, "3")
    assert json_of(reply)["error"]["details"][0]["retryDelay"] == "2.5s"
    assert json_of(ask(where, "a", verb=ARRAY)) == [json_of(reply)]
    assert json_of(ask(where, "a", verb=SSE)) == json_of(reply)


def test_raw_replies_and_none() -> None:
    """`raw` is neither wrapped nor given headers; a rule without a reply lets the echo answer under its own name."""
    where = app("raw: {status: 502, headers: {content-type: text/html}, body: <h1>Bad Gateway</h1>}")
    assert ask(where, "a") == Reply(502, {"content-type": "text/html"}, (b"<h1>Bad Gateway</h1>",))
    reply = ask(app("{}"), "Hello")
    assert (text_of(reply), json_of(reply)["modelVersion"]) == ('Message 1 says: "Hello".', "simulator/echo")


LONG = "{answer: The quick brown fox jumps over the lazy dog.%s}"


def test_pauses() -> None:
    """`delay` comes first, `drip` between chunks, or between every 64 bytes of a body that has none."""
    where = app(LONG % ", delay: 2, drip: 500ms")
    whole, stream = ask(where, "a").steps, ask(where, "a", verb=SSE).steps
    assert (stream[0], stream[2::2]) == (2.0, (0.5, 0.5))
    assert (whole[0], set(whole[2::2])) == (2.0, {0.5})
    assert all(isinstance(step, bytes) and len(step) == 64 for step in whole[1:-1:2])


@pytest.mark.parametrize(
    ("cut", "steps"),
    [
        ("reset", [Cut("reset")]),
        ("close", [Cut("close")]),
        ("clean", []),
        ("{after: 30}", [30, Cut("reset")]),
        ("{after: 30, how: clean}", [30]),
        ("{after: 1 chunk, how: close}", ["chunk", Cut("close")]),
        ("{after: 9 chunks, how: close}", ["chunk", "chunk", "chunk", Cut("close")]),
    ],
)
def test_cuts(cut: str, steps: list[Any]) -> None:
    """A reply breaks off after so many bytes or chunks, or all there are, and in one of three ways."""
    seen: list[Any] = []
    for step in ask(app(LONG % f", cut: {cut}"), "a", verb=SSE).steps:
        if isinstance(step, bytes):
            seen.append("chunk" if step.endswith(b"\r\n\r\n") else len(step))
        else:
            seen.append(step)
    assert seen == steps


def test_error_in_a_stream() -> None:
    """After so many chunks the stream itself goes on with the error, in either framing."""
    where = app(LONG % ", cut: {after: 2 chunks, error: {status: UNAVAILABLE, retry_delay: 1s}}")
    array = json.loads(body_of(ask(where, "a", verb=ARRAY)))
    assert ["error" in chunk for chunk in array] == [False, False, True]
    assert array[-1]["error"]["code"] == 503
    sse = ask(where, "a", verb=SSE)
    last = json.dumps(array[-1], separators=(",", ":")).encode()
    assert (sse.status, sse.steps[-1]) == (200, b"data: " + last + b"\r\n\r\n")


def test_error_before_the_first_chunk() -> None:
    """An error that nothing goes before has its HTTP status; so has every error of an answer in one piece."""
    for cut, verb in (("error", SSE), ("after: 0 chunks, error", SSE), ("after: 2 chunks, error", "generateContent")):
        assert ask(app(LONG % f", cut: {{{cut}: UNAVAILABLE}}"), "a", verb=verb).status == 503


@given(st.text(max_size=20), st.integers(0, 3))
def test_choosing_is_pure(text: str, used: int) -> None:
    """The same message and the same counts choose the same rule, and nothing is remembered by choosing."""
    text_of_rules = "rules: [{when: {contains: a}, times: 2}, {when: {matches: b}}, {times: 1}, {}]"
    loaded = read_rules.load(text_of_rules, "r").rules
    counts = [used] * len(loaded)
    message = incoming("m", {"contents": talk(text)})
    expected = 0 if "a" in text and used < 2 else 1 if "b" in text else 2 if used < 1 else 3
    assert [choose_rule(loaded, message, counts) for _ in range(2)] == [expected, expected]
    assert counts == [used] * len(loaded)
