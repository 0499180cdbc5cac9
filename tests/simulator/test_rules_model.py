"""The model that plays rules: which rule takes a message, and what is then replied."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gemcli.errors import GemcliError
from gemcli.simulator import rules, rules_model
from gemcli.simulator.rules_model import RulesModel, rules_app
from gemcli.simulator.simulated_api import App, Cut, Reply, application

from .support import call, json_of, post, response, says, talk, text_of

WAIT = [says("user", "What is the weather?"), says("model", call("get_weather"), call("now"))]


def app(*lines: str) -> App:
    """An application with these rules, each given as the text behind its dash."""
    return rules_app("rules:\n" + "".join(f"  - {line}\n" for line in lines), "r.yaml")


def ask(where: App, *contents: Any, verb: str = "generateContent") -> Reply:
    """The reply of `simulator/rules` to these Contents; text is a message of the user."""
    said = [says("user", each) if isinstance(each, str) else each for each in contents]
    return post({"contents": said}, verb, rules_model.NAME, where)


def answered(where: App, *contents: Any) -> str:
    """What the model says to these Contents."""
    return text_of(ask(where, *contents))


def test_the_first_rule_that_fits_replies() -> None:
    """Rules are tried in order, and conditions must all hold."""
    where = app(
        "{when: {contains: sun, turn: 2}, answer: later}",
        "{when: {contains: sun}, answer: first}",
        "{when: {matches: '(?i)^SU.$'}, answer: pattern}",
        "{answer: other}",
    )
    assert [answered(where, text) for text in ("a sun", "SUN", "Sun!")] == ["first", "pattern", "other"]
    assert answered(where, *talk("a", "b", "sun")) == "later"
    assert answered(where, *talk("a", "b", "c", "d", "sun")) == "first"


def test_only_the_last_content_is_looked_at() -> None:
    """What was said before, and what a function said, is not the message."""
    where = app("{when: {contains: sun}, answer: seen}", "{answer: other}")
    assert answered(where, *talk("sun", "sun", "rain")) == "other"
    functions = says("user", response("get_weather", {"text": "sun"}), response("now"))
    assert answered(where, *WAIT, functions) == "other"


def test_a_function_that_answered_can_be_asked_for() -> None:
    """`after_call` holds where the last Content answers a call of that name; the turn stays the same."""
    where = app("{when: {after_call: now, turn: 1}, answer: noon}", "{answer: other}")
    assert answered(where, *WAIT, says("user", response("get_weather"), response("now"))) == "noon"
    assert answered(where, "now") == "other"


def test_a_rule_can_be_for_one_model() -> None:
    """One player goes by many names, and knows which one was asked."""
    played = RulesModel(rules.load("rules: [{when: {model: gemini-x}, answer: x}, {answer: other}]", "r"))
    names = (rules_model.NAME, "gemini-x")
    where = application({name: played.named(name) for name in names})
    assert [text_of(post({"contents": talk("a")}, model=name, app=where)) for name in names] == ["other", "x"]


def test_times_are_counted_by_the_player() -> None:
    """A rule with `times` steps aside when it was taken so often; counting tokens is not taking it."""
    where = app("{times: 2, answer: twice}", "{when: {contains: a}, times: 1, answer: once}", "{answer: always}")
    post({"contents": talk("a")}, "countTokens", rules_model.NAME, where)
    assert [answered(where, "a") for _ in range(5)] == ["twice", "twice", "once", "always", "always"]


def test_counts_hold_among_threads() -> None:
    """However many messages come at once, a rule is taken as often as it says."""
    where = app("{times: 7, answer: rare}", "{answer: common}")
    with ThreadPoolExecutor(8) as pool:
        said = list(pool.map(lambda _: answered(where, "a"), range(100)))
    assert said.count("rare") == 7


def test_a_player_goes_on_where_another_stopped() -> None:
    """The counts are all the state there is: given to another player, it goes on from there."""
    loaded = rules.load("rules: [{times: 1, answer: once}, {answer: then}]", "r")
    first = RulesModel(loaded)
    first.named("m")({"contents": talk("a")})
    second = RulesModel(loaded, first.used)
    text_of(post({"contents": talk("a")}, model="m", app=application({"m": second.named("m")})))
    assert (first.used, second.used) == ([1, 0], [1, 1])


def test_without_a_rule_there_is_no_answer() -> None:
    """A message that no rule takes is refused, and the refusal says which message that was."""
    reply = ask(app("{when: {contains: sun}, answer: a}"), *talk("a", "b", 'the "moon"'))
    error = json_of(reply)["error"]
    assert (reply.status, error["status"]) == (400, "INVALID_ARGUMENT")
    assert error["message"] == 'No rule of r.yaml takes message 2 to simulator/rules: "the \\"moon\\""'


def test_a_wrong_file_makes_no_application() -> None:
    """`rules_app` raises what `rules.load` does."""
    with pytest.raises(GemcliError, match=r"r\.yaml: 1 problem"):
        app("nonsense")


def test_an_answer_is_a_whole_response() -> None:
    """A scripted answer has all that a GenerateContentResponse has, and its own usage where given."""
    where = app(
        "answer: {text: 12345678, thoughts: 1234, signature: c2ln, finish: MAX_TOKENS, finish_message: Long., "
        "usage: {prompt_token_count: 100, cached_content_token_count: 64}}"
    )
    body = json_of(ask(where, "a"))
    assert body.pop("responseId").isalnum()
    assert body == {
        "candidates": [
            {
                "content": {
                    "parts": [
                        {"text": "1234", "thought": True},
                        {"text": "12345678"},
                        {"text": "", "thoughtSignature": "c2ln"},
                    ],
                    "role": "model",
                },
                "finishReason": "MAX_TOKENS",
                "finishMessage": "Long.",
                "index": 0,
            }
        ],
        "usageMetadata": {
            "promptTokenCount": 100,
            "candidatesTokenCount": 2,
            "thoughtsTokenCount": 1,
            "cachedContentTokenCount": 64,
            "totalTokenCount": 103,
            "promptTokensDetails": [{"modality": "TEXT", "tokenCount": 100}],
        },
        "modelVersion": "simulator/rules",
    }


def test_an_answer_can_be_empty() -> None:
    """Nothing said is a content without parts, as the API has it."""
    assert json_of(ask(app("answer: {finish: SAFETY}"), "a"))["candidates"] == [
        {"content": {}, "finishReason": "SAFETY", "index": 0}
    ]


def test_a_blocked_prompt_has_no_candidates() -> None:
    """`block` gives the prompt feedback and counts the prompt alone."""
    body = json_of(ask(app("block: PROHIBITED_CONTENT"), "12345678"))
    assert body["promptFeedback"] == {"blockReason": "PROHIBITED_CONTENT"}
    assert "candidates" not in body
    assert body["usageMetadata"]["totalTokenCount"] == 2


def test_an_error_has_its_status_and_headers() -> None:
    """`error` is an HTTP error; for a stream without alt=sse it is a list of one."""
    where = app("error: {status: RESOURCE_EXHAUSTED, retry_delay: 2.5s, headers: {retry-after: 3}}")
    reply = ask(where, "a")
    assert (reply.status, reply.headers["retry-after"]) == (429, "3")
    assert json_of(reply)["error"]["details"][0]["retryDelay"] == "2.5s"
    assert json_of(ask(where, "a", verb="streamGenerateContent")) == [json_of(reply)]
    assert json_of(ask(where, "a", verb="streamGenerateContent?alt=sse")) == json_of(reply)


def test_a_raw_reply_goes_out_as_it_is() -> None:
    """`raw` is neither wrapped nor given headers."""
    where = app("raw: {status: 502, headers: {content-type: text/html}, body: <h1>Bad Gateway</h1>}")
    assert ask(where, "a") == Reply(502, {"content-type": "text/html"}, (b"<h1>Bad Gateway</h1>",))


def test_a_rule_that_says_nothing_lets_the_echo_answer() -> None:
    """The echo goes by its own name even so."""
    body = json_of(ask(app("{}"), "Hello"))
    assert body["candidates"][0]["content"]["parts"] == [{"text": 'Message 1 says: "Hello".'}]
    assert body["modelVersion"] == "simulator/echo"


LONG = "{answer: The quick brown fox jumps over the lazy dog.%s}"
SSE = "streamGenerateContent?alt=sse"


def kinds(reply: Reply) -> list[Any]:
    """The steps of a reply, bytes by their number only."""
    return [len(step) if isinstance(step, bytes) else step for step in reply.steps]


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
        ("{after: 1 chunk, how: close}", [1, Cut("close")]),
        ("{after: 9 chunks, how: close}", [1, 1, 1, Cut("close")]),
    ],
)
def test_cuts(cut: str, steps: list[Any]) -> None:
    """A reply breaks off after so many bytes or chunks, or all there are, and in one of three ways."""
    where = app(LONG % f", cut: {cut}")
    seen = kinds(ask(where, "a", verb=SSE))
    # Chunks have many bytes; here they count as one.
    assert [step if not isinstance(step, int) or step <= 30 else 1 for step in seen] == steps


def test_an_error_in_a_stream() -> None:
    """After so many chunks the stream itself goes on with the error, in either form."""
    where = app(LONG % ", cut: {after: 2 chunks, error: {status: UNAVAILABLE, retry_delay: 1s}}")
    array = json.loads(b"".join(step for step in ask(where, "a", verb="streamGenerateContent").steps if step))  # type: ignore[misc]
    sse = ask(where, "a", verb=SSE)
    assert ["error" in chunk for chunk in array] == [False, False, True]
    assert array[-1]["error"]["code"] == 503
    assert (sse.status, sse.steps[-1]) == (
        200,
        b"data: " + json.dumps(array[-1], separators=(",", ":")).encode() + b"\r\n\r\n",
    )


@pytest.mark.parametrize("cut", ["{error: UNAVAILABLE}", "{after: 0 chunks, error: UNAVAILABLE}"])
def test_an_error_before_the_first_chunk_is_a_plain_one(cut: str) -> None:
    """An error that nothing goes before has its HTTP status; so has every error of an answer in one piece."""
    assert ask(app(LONG % f", cut: {cut}"), "a", verb=SSE).status == 503
    assert ask(app(LONG % ", cut: {after: 2 chunks, error: UNAVAILABLE}"), "a").status == 503


@given(st.text(max_size=20), st.integers(0, 3))
def test_playing_is_a_pure_function_of_request_and_counts(text: str, used: int) -> None:
    """The same message and the same counts choose the same rule, and nothing is remembered by choosing."""
    loaded = rules.load("rules: [{when: {contains: a}, times: 2}, {when: {matches: b}}, {times: 1}, {}]", "r").rules
    counts = [used] * len(loaded)
    message = rules_model.incoming("m", {"contents": [says("user", text)]})
    expected = 0 if "a" in text and used < 2 else 1 if "b" in text else 2 if used < 1 else 3
    assert (
        rules_model.choose_rule(loaded, message, counts) == rules_model.choose_rule(loaded, message, counts) == expected
    )
    assert counts == [used] * len(loaded)
