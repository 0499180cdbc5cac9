"""Real clients against the loopback server: conversations, streams, function calls, and what breaks."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import Iterator
from typing import Any

import httpx2
import pytest
from google import genai
from google.genai import errors, types

from gemcli.simulator.rules import load
from gemcli.simulator.rules_model import NAME, RulesModel, rules_app
from gemcli.simulator.server import serve
from gemcli.simulator.simulated_api import application

RULES = """
rules:
  - when: {contains: weather}
    answer:
      thoughts: The tool knows.
      calls: [{name: get_weather, args: {city: Boston}, id: c1}]
      signature: c2ln
  - when: {after_call: get_weather}
    answer: {text: It is sunny in Boston., signature: c2ln}
  - when: {contains: long}
    answer: The quick brown fox jumps over the lazy dog.
  - when: {contains: quota}
    error: {status: RESOURCE_EXHAUSTED, retry_delay: 2.5s}
  - {}
"""


@contextlib.contextmanager
def client(rules: str = RULES, version: str = "v1beta") -> Iterator[genai.Client]:
    """The SDK's client on a server that plays `rules`."""
    with serve(rules_app(rules, "rules.yaml")) as server:
        sdk = genai.Client(api_key="k", vertexai=False, http_options={"base_url": server.url, "api_version": version})
        try:
            yield sdk
        finally:
            sdk.close()


def get_weather(city: str) -> dict[str, str]:
    """The weather in a city."""
    return {"city": city, "sky": "blue"}


@pytest.mark.parametrize("version", ["v1", "v1beta"])
def test_the_sdk_holds_a_whole_conversation(version: str) -> None:
    """A message, a stream and a function called automatically, in one chat; and the tokens are counted."""
    with client(version=version) as sdk:
        chat = sdk.chats.create(model=NAME, config={"tools": [get_weather]})
        assert chat.send_message("Hello").text == 'Message 1 says: "Hello".'
        pieces = [chunk.text for chunk in chat.send_message_stream("a long one")]
        assert pieces == ["The quick brown ", "fox jumps over ", "the lazy dog."]
        assert chat.send_message("weather?").text == "It is sunny in Boston."
        history = chat.get_history(curated=True)
        assert history[-2].parts is not None
        response = history[-2].parts[0].function_response
        assert response is not None
        # The SDK answers the call without its id, and sends the stream back as a Content for each chunk.
        assert (response.name, response.id) == ("get_weather", None)
        assert [content.role for content in history[2:6]] == ["user", "model", "model", "model"]
        assert (sdk.models.count_tokens(model=NAME, contents=history).total_tokens or 0) > 20


def test_the_async_sdk_holds_a_whole_conversation() -> None:
    """The same over the asynchronous client."""

    async def talk(sdk: genai.Client) -> list[Any]:
        chat = sdk.aio.chats.create(model=NAME, config={"tools": [get_weather]})
        said: list[Any] = [(await chat.send_message("Hello")).text]
        said += [chunk.text async for chunk in await chat.send_message_stream("a long one")]
        said.append((await chat.send_message("weather?")).text)
        said.append((await sdk.aio.models.count_tokens(model=NAME, contents="12345678")).total_tokens)
        await sdk.aio.aclose()
        return said

    with client() as sdk:
        assert asyncio.run(talk(sdk)) == [
            'Message 1 says: "Hello".',
            *("The quick brown ", "fox jumps over ", "the lazy dog."),
            "It is sunny in Boston.",
            2,
        ]


def test_a_call_streams_whole() -> None:
    """A streamed call arrives in one piece, after the thought, with its signature on it."""
    with client() as sdk:
        chunks = list(sdk.models.generate_content_stream(model=NAME, contents="weather?"))
    parts = [part for chunk in chunks for part in (chunk.parts or [])]
    assert [part.thought for part in parts] == [True, None]
    assert parts[1].function_call == types.FunctionCall(name="get_weather", args={"city": "Boston"}, id="c1")
    assert parts[1].thought_signature == b"sig"


def test_a_signature_ends_a_streamed_text() -> None:
    """The signature of a text comes by itself in the last chunk, with the finish reason."""
    with client("rules: [{answer: {text: Hello., signature: c2ln}}]") as sdk:
        first, last = sdk.models.generate_content_stream(model=NAME, contents="a")
    assert last.candidates is not None
    assert last.parts is not None
    assert (first.text, last.parts[0].thought_signature) == ("Hello.", b"sig")
    assert last.candidates[0].finish_reason == types.FinishReason.STOP


def test_a_quota_is_the_sdks_client_error() -> None:
    """An error before the first chunk is an HTTP error with its details, streamed or not."""
    with client() as sdk:
        with pytest.raises(errors.ClientError) as whole:
            sdk.models.generate_content(model=NAME, contents="quota")
        with pytest.raises(errors.ClientError) as stream:
            next(iter(sdk.models.generate_content_stream(model=NAME, contents="quota")))
    for caught in (whole, stream):
        assert (caught.value.code, caught.value.status) == (429, "RESOURCE_EXHAUSTED")
        assert caught.value.details["error"]["details"] == [
            {"@type": "type.googleapis.com/google.rpc.RetryInfo", "retryDelay": "2.5s"}
        ]


def streamed(cut: str) -> tuple[list[str | None], BaseException | None]:
    """What the SDK's client sees of a stream of three chunks that breaks off: texts, and the error if any."""
    seen: list[str | None] = []
    with client(f"rules: [{{answer: The quick brown fox jumps over the lazy dog., cut: {cut}}}]") as sdk:
        try:
            for chunk in sdk.models.generate_content_stream(model=NAME, contents="a"):
                seen.append(chunk.text)  # noqa: PERF401 - what came before an error is what matters
        except Exception as error:
            return seen, error
    return seen, None


TWO = ["The quick brown ", "fox jumps over "]


@pytest.mark.parametrize(
    ("cut", "texts", "error"),
    [
        ("reset", [], httpx2.ReadError),
        ("close", [], httpx2.RemoteProtocolError),
        ("clean", [], type(None)),
        ("{after: 2 chunks, how: reset}", TWO, httpx2.ReadError),
        ("{after: 2 chunks, how: close}", TWO, httpx2.RemoteProtocolError),
        ("{after: 2 chunks, how: clean}", TWO, type(None)),
        ("{after: 30 bytes, how: reset}", [], httpx2.ReadError),
        ("{after: 30 bytes, how: close}", [], httpx2.RemoteProtocolError),
        ("{after: 30 bytes, how: clean}", [], errors.UnknownApiResponseError),
        ("{after: 2 chunks, error: UNAVAILABLE}", TWO, errors.ServerError),
        ("{error: RESOURCE_EXHAUSTED}", [], errors.ClientError),
    ],
)
def test_a_broken_stream_is_seen_by_the_sdk(cut: str, texts: list[str], error: type[BaseException]) -> None:
    """Each kind of break is what a client would see of a real one; a clean one between chunks raises nothing."""
    seen, raised = streamed(cut)
    assert (seen, type(raised)) == (texts, error)


def test_a_rule_for_the_first_time_makes_a_retry_succeed() -> None:
    """A client that tries again gets the answer: `times` counts over the requests of one server."""
    retry = types.HttpRetryOptions(attempts=2, initial_delay=0.01, http_status_codes=[503])
    with serve(rules_app("rules: [{times: 1, error: UNAVAILABLE}, {answer: At last.}]", "r")) as server:
        options = types.HttpOptions(base_url=server.url, retry_options=retry)
        with genai.Client(api_key="k", vertexai=False, http_options=options) as sdk:
            assert sdk.models.generate_content(model=NAME, contents="a").text == "At last."


def test_a_slow_stream_arrives_piece_by_piece() -> None:
    """The first chunk is there long before the last, over a plain socket with no client to buffer it."""
    rules = "rules: [{answer: The quick brown fox jumps over the lazy dog., drip: 60}]"
    body = b'{"contents":{"parts":{"text":"a"}}}'
    head = f"POST /v1/models/{NAME}:streamGenerateContent?key=k HTTP/1.1\r\nContent-Length: {len(body)}\r\n\r\n"
    with serve(rules_app(rules, "r")) as server, socket.create_connection(server.socket.getsockname(), 10) as raw:
        raw.sendall(head.encode() + body)
        seen = b""
        while b"The quick brown" not in seen:
            seen += raw.recv(1000)
    assert b"lazy" not in seen


def test_a_model_of_any_name_plays_the_rules() -> None:
    """A client that is fixed on a model's name gets the same rules."""
    played = RulesModel(load(RULES, "r"))
    with serve(application({"gemini-flash-latest": played.named("gemini-flash-latest")})) as server:
        options = types.HttpOptions(base_url=server.url)
        with genai.Client(api_key="k", vertexai=False, http_options=options) as sdk:
            answer = sdk.models.generate_content(model="gemini-flash-latest", contents="a long one")
    assert answer.model_version == NAME
