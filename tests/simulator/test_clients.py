"""The SDK's client on the simulator, over loopback and in process: conversations, streams, and what breaks."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import Any

import httpx2
import pytest
from google import genai
from google.genai import errors, types

from gemcli.simulator import echo_model, read_rules
from gemcli.simulator.rules_model import NAME, RulesModel, rules_app
from gemcli.simulator.simulated_api import application

from .support import ECHO, Mount, call, response, says, sdk_on

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
  - when: {contains: endless}
    answer: {text: The quick brown fox jumps over the lazy dog., hops: 2, token: early}
  - when: {contains: broken}
    cut: {after: 1 chunk, how: close}
    answer: {text: The quick brown fox jumps over the lazy dog., hops: 2, checkpoints: 1, token: early}
  - {}
"""
FOX = ["The quick brown ", "fox jumps over ", "the lazy dog."]


@pytest.fixture(params=["server", "in-process"])
def mount(request: pytest.FixtureRequest) -> Mount:
    """Each way in which the simulator can be reached."""
    way: Mount = request.param
    return way


@pytest.fixture
def echo(mount: Mount) -> Iterator[genai.Client]:
    """A client of the simulated API as it comes."""
    with sdk_on(mount=mount) as sdk:
        yield sdk


@pytest.fixture
def rules(mount: Mount) -> Iterator[genai.Client]:
    """A client of the rules above."""
    with sdk_on(rules_app(RULES, "r"), mount) as sdk:
        yield sdk


def get_weather(city: str) -> dict[str, str]:
    """The weather in a city."""
    return {"city": city, "sky": "blue"}


def test_generate(echo: genai.Client) -> None:
    """generate_content gets a whole answer, usage and all; count_tokens, models.list and models.get answer."""
    answer = echo.models.generate_content(model=ECHO, contents="Hello", config={"max_output_tokens": 2})
    assert answer.candidates
    assert answer.usage_metadata
    assert (answer.text, answer.candidates[0].finish_reason) == ("Message ", types.FinishReason.MAX_TOKENS)
    assert (answer.usage_metadata.total_token_count, answer.model_version) == (4, ECHO)
    assert echo.models.count_tokens(model=ECHO, contents="12345678").total_tokens == 2
    assert [model.name for model in echo.models.list()] == ["models/simulator/echo"]
    assert echo.models.get(model=ECHO).name == "models/simulator/echo"


@pytest.mark.parametrize(
    ("model", "contents", "code", "status", "message"),
    [
        (ECHO, [says("user", "a"), says("model", "b")], 400, "INVALID_ARGUMENT", "Please ensure that multiturn "),
        ("gemini-x", "Hello", 404, "NOT_FOUND", "models/gemini-x is not found for API version v1beta"),
    ],
)
def test_errors(echo: genai.Client, model: str, contents: Any, code: int, status: str, message: str) -> None:
    """What is refused is the SDK's ClientError with the API's message."""
    with pytest.raises(errors.ClientError) as caught:
        echo.models.generate_content(model=model, contents=contents)
    assert (caught.value.code, caught.value.status) == (code, status)
    assert (caught.value.message or "").startswith(message)


@pytest.mark.parametrize("version", ["v1", "v1beta"])
def test_conversation(mount: Mount, version: str) -> None:
    """A message, a stream and a function called automatically, in one chat; and the tokens are counted."""
    with sdk_on(rules_app(RULES, "r"), mount, version) as sdk:
        chat = sdk.chats.create(model=NAME, config={"tools": [get_weather]})
        assert chat.send_message("Hello").text == 'Message 1 says: "Hello".'
        assert [chunk.text for chunk in chat.send_message_stream("a long one")] == FOX
        assert chat.send_message("weather?").text == "It is sunny in Boston."
        history = chat.get_history(curated=True)
        assert history[-2].parts is not None
        response = history[-2].parts[0].function_response
        assert response is not None
        # The SDK answers the call without its id, and sends the stream back as a Content for each chunk.
        assert (response.name, response.id) == ("get_weather", None)
        assert [content.role for content in history[2:6]] == ["user", "model", "model", "model"]
        assert (sdk.models.count_tokens(model=NAME, contents=history).total_tokens or 0) > 20


def test_conversation_async() -> None:
    """The same over the asynchronous client."""

    async def talk(sdk: genai.Client) -> list[Any]:
        chat = sdk.aio.chats.create(model=NAME, config={"tools": [get_weather]})
        seen: list[Any] = [(await chat.send_message("Hello")).text]
        seen += [chunk.text async for chunk in await chat.send_message_stream("a long one")]
        seen.append((await chat.send_message("weather?")).text)
        seen.append((await sdk.aio.models.count_tokens(model=NAME, contents="12345678")).total_tokens)
        await sdk.aio.aclose()
        return seen

    with sdk_on(rules_app(RULES, "r")) as sdk:
        assert asyncio.run(talk(sdk)) == ['Message 1 says: "Hello".', *FOX, "It is sunny in Boston.", 2]


def test_streamed_signatures(rules: genai.Client) -> None:
    """A streamed call has its signature on it, after the thought; a text's comes by itself in the last chunk."""
    chunks = list(rules.models.generate_content_stream(model=NAME, contents="weather?"))
    parts = [part for chunk in chunks for part in (chunk.parts or [])]
    assert [part.thought for part in parts] == [True, None]
    assert parts[1].function_call == types.FunctionCall(name="get_weather", args={"city": "Boston"}, id="c1")
    assert parts[1].thought_signature == b"sig"
    called = [says("user", "weather?"), says("model", call("get_weather")), says("user", response("get_weather"))]
    *first, last = rules.models.generate_content_stream(model=NAME, contents=called)
    assert last.candidates
    assert last.parts
    assert ("".join(chunk.text or "" for chunk in first), last.parts[0].thought_signature) == (
        "It is sunny in Boston.", b"sig",
    )  # fmt: skip
    assert last.candidates[0].finish_reason == types.FinishReason.STOP


def test_continuation(rules: genai.Client) -> None:
    """A long answer is asked for hop by hop, its token coming early, and usage is summed; a chat keeps it whole."""
    chat = rules.chats.create(model=NAME)
    answer = chat.send_message("endless")
    assert answer.text == "".join(FOX)
    assert answer.usage_metadata
    assert (answer.usage_metadata.prompt_token_count, answer.usage_metadata.candidates_token_count) == (10, 12)
    assert len(chat.get_history(curated=True)) == 2
    assert chat.send_message("Hello").text == 'Message 2 says: "Hello". Before it: 1: "endless".'


def test_streamed_continuation(rules: genai.Client) -> None:
    """A stream that breaks is resumed at its checkpoint, and goes on in the next hop, as one stream."""
    chunks = list(rules.models.generate_content_stream(model=NAME, contents="broken"))
    assert "".join(chunk.text or "" for chunk in chunks) == "".join(FOX)
    reasons = [chunk.candidates[0].finish_reason for chunk in chunks if chunk.candidates]
    assert reasons == [None] * (len(chunks) - 1) + [types.FinishReason.STOP]


def test_continuing_by_hand(echo: genai.Client) -> None:
    """What MAX_TOKENS cut goes on with the token and more tokens; the SDK does not do that by itself."""
    config = types.GenerateContentConfig(max_output_tokens=2)
    first = echo.models.generate_content(model=ECHO, contents="Hello", config=config)
    assert first.candidates
    token = first.candidates[0].continuation_token
    more = config.model_copy(update={"continuation_token": token, "max_output_tokens": 100})
    assert echo.models.generate_content(model=ECHO, contents="Hello", config=more).text == '1 says: "Hello".'
    with pytest.raises(errors.ClientError, match="The continuation token is not valid for this request"):
        echo.models.generate_content(model=ECHO, contents="Hallo", config=more)


STEPS = """
rules:
  - when: {after_call: {name: get_weather, result: {result: {city: Paris}}}}
    answer: {calls: [{name: get_time, args: {zone: CET}}]}
  - when: {after_call: get_time}
    answer: {text: Noon and blue., hops: 2, token: early}
  - answer:
      thoughts: Two cities.
      calls: [{name: get_weather, args: {city: Boston}}, {name: get_weather, args: {city: Paris}}]
"""


def get_time(zone: str) -> str:
    """The time in a zone."""
    return f"noon {zone}"


@pytest.mark.parametrize("stream", [False, True])
def test_automatic_function_calling(mount: Mount, stream: bool) -> None:
    """The SDK runs calls of Gemini 3 in two steps, each signed; then an answer of two hops, and the chat goes on."""
    app = application({}, RulesModel(read_rules.load(STEPS, "r")).named)
    with sdk_on(app, mount) as sdk:
        chat = sdk.chats.create(model="gemini-4-argon", config={"tools": [get_weather, get_time]})
        if stream:
            said = "".join(chunk.text or "" for chunk in chat.send_message_stream("Weather and time?"))
        else:
            said = chat.send_message("Weather and time?").text or ""
        assert said == "Noon and blue."
        parts = [part for content in chat.get_history(curated=True) for part in content.parts or []]
        called = [part for part in parts if part.function_call]
        assert [part.function_call.name for part in called if part.function_call] == [*["get_weather"] * 2, "get_time"]
        assert [bool(part.thought_signature) for part in called] == [True, False, True]
        assert len([part for part in parts if part.function_response]) == 3
        assert chat.send_message("Again?").text == "Noon and blue."


def test_forced_calls(mount: Mount) -> None:
    """The echo calls what it is told to, by the SDK's own declarations, and the SDK runs it."""
    mode = types.FunctionCallingConfig(mode=types.FunctionCallingConfigMode.ANY, allowed_function_names=["get_time"])
    config = types.GenerateContentConfig(
        tools=[get_weather, get_time], tool_config=types.ToolConfig(function_calling_config=mode)
    )
    app = application({}, lambda _: echo_model.answer)
    with sdk_on(app, mount) as sdk:
        answer = sdk.models.generate_content(model="gemini-4-argon", contents="UTC", config=config)
        assert answer.text == 'Message 1 says: "UTC". Its functions answered: get_time: {"result":"noon UTC"}.'


def test_a_missing_signature(mount: Mount) -> None:
    """A history whose call has lost its signature is refused, and taken with a stand-in."""
    contents: Any = [says("user", "a"), says("model", call("f")), says("user", response("f"))]
    with sdk_on(application({}, lambda _: echo_model.answer), mount) as sdk:
        with pytest.raises(errors.ClientError, match="missing a thought_signature"):
            sdk.models.generate_content(model="gemini-4-argon", contents=contents)
        contents[1]["parts"][0]["thoughtSignature"] = "skip_thought_signature_validator"
        assert sdk.models.generate_content(model="gemini-4-argon", contents=contents).text


@pytest.mark.parametrize("stream", [False, True])
def test_quota(rules: genai.Client, stream: bool) -> None:
    """An error before the first chunk is an HTTP error with its details, streamed or not."""
    ask = rules.models.generate_content_stream if stream else rules.models.generate_content
    with pytest.raises(errors.ClientError) as caught:
        list(ask(model=NAME, contents="quota"))
    assert (caught.value.code, caught.value.status) == (429, "RESOURCE_EXHAUSTED")
    retry = {"@type": "type.googleapis.com/google.rpc.RetryInfo", "retryDelay": "2.5s"}
    assert caught.value.details["error"]["details"] == [retry]


@pytest.mark.parametrize(
    ("cut", "chunks", "error"),
    [
        ("reset", 0, httpx2.ReadError),
        ("close", 0, httpx2.RemoteProtocolError),
        ("clean", 0, None),
        ("{after: 2 chunks, how: reset}", 2, httpx2.ReadError),
        ("{after: 2 chunks, how: close}", 2, httpx2.RemoteProtocolError),
        ("{after: 2 chunks, how: clean}", 2, None),
        ("{after: 30 bytes, how: reset}", 0, httpx2.ReadError),
        ("{after: 30 bytes, how: close}", 0, httpx2.RemoteProtocolError),
        ("{after: 30 bytes, how: clean}", 0, errors.UnknownApiResponseError),
        ("{after: 2 chunks, error: UNAVAILABLE}", 2, errors.ServerError),
        ("{error: RESOURCE_EXHAUSTED}", 0, errors.ClientError),
    ],
)
def test_broken_stream(mount: Mount, cut: str, chunks: int, error: type[Exception] | None) -> None:
    """Each kind of break is what a client would see of a real one; a clean one between chunks raises nothing."""
    app = rules_app(f"rules: [{{answer: The quick brown fox jumps over the lazy dog., cut: {cut}}}]", "r")
    seen: list[str | None] = []
    raised = None
    with sdk_on(app, mount) as sdk:
        try:
            for chunk in sdk.models.generate_content_stream(model=NAME, contents="a"):
                seen.append(chunk.text)  # noqa: PERF401 - what came before an error is what matters
        except Exception as caught:
            raised = type(caught)
    assert (seen, raised) == (FOX[:chunks], error)


def test_retry(mount: Mount) -> None:
    """A client that tries again gets the answer: `times` counts over the requests of one application."""
    with sdk_on(rules_app("rules: [{times: 1, error: UNAVAILABLE}, {answer: At last.}]", "r"), mount) as sdk:
        retry = types.HttpRetryOptions(attempts=2, initial_delay=0.01, http_status_codes=[503])
        config = types.GenerateContentConfig(http_options=types.HttpOptions(retry_options=retry))
        assert sdk.models.generate_content(model=NAME, contents="a", config=config).text == "At last."
