"""The application in process, under the SDK's own HTTP client."""

from __future__ import annotations

import socket
import time
from collections.abc import Iterator

import httpx2
import pytest
from google import genai

from gemcli.simulator.replies import Step
from gemcli.simulator.rules_model import rules_app
from gemcli.simulator.simulated_api import Cut, Reply
from gemcli.simulator.transport import AppTransport


def client(http: httpx2.Client) -> genai.Client:
    """The SDK's client over `http`."""
    options = {"httpx_client": http, "async_client_args": {"verify": False}, "base_url": "http://simulator.invalid"}
    return genai.Client(api_key="k", vertexai=False, http_options=options)  # type: ignore[arg-type]


@pytest.fixture
def sdk() -> Iterator[genai.Client]:
    """The SDK's client over the simulated API."""
    with httpx2.Client(transport=AppTransport()) as http:
        yield client(http)


def scripted(*steps: Step) -> httpx2.Client:
    """A client whose every request gets these steps as an answer."""
    return httpx2.Client(transport=AppTransport(lambda method, target, headers, body: Reply(200, {}, steps)))


def test_no_socket_is_opened(monkeypatch: pytest.MonkeyPatch) -> None:
    """A whole request runs without a socket or a name being looked up."""

    def refuse(*args: object, **kwargs: object) -> None:
        raise AssertionError("a socket was opened")

    for name in ("socket", "create_connection", "getaddrinfo"):
        monkeypatch.setattr(socket, name, refuse)
    with httpx2.Client(transport=AppTransport()) as http:
        answer = client(http).models.generate_content(model="simulator/echo", contents="Hello")
    assert answer.text == 'Message 1 says: "Hello".'


def test_the_sdk_converses(sdk: genai.Client) -> None:
    """Three turns of the SDK's own chat: each sees those before it."""
    chat = sdk.chats.create(model="simulator/echo", config={"system_instruction": "Be brief"})
    answers = [chat.send_message(text).text for text in ("one", "two", "three")]
    assert answers == [
        'Message 1 says: "one". The system instruction says: "Be brief".',
        'Message 2 says: "two". Before it: 1: "one". The system instruction says: "Be brief".',
        'Message 3 says: "three". Before it: 1: "one"; 2: "two". The system instruction says: "Be brief".',
    ]


def test_the_sdk_streams(sdk: genai.Client) -> None:
    """A stream runs in process too, chunk by chunk, with the finish reason on the last."""
    chunks = list(sdk.models.generate_content_stream(model="simulator/echo", contents="Hello there, and good day"))
    assert "".join(chunk.text or "" for chunk in chunks) == 'Message 1 says: "Hello there, and good day".'
    finishes = [candidate.finish_reason for chunk in chunks for candidate in chunk.candidates or []]
    assert finishes == [None] * (len(chunks) - 1) + [genai.types.FinishReason.STOP]
    assert len(chunks) > 2


def test_rules_are_played_in_process() -> None:
    """`rules_app` is mounted like any other application; a stream that is cut breaks as one over a socket does."""
    app = rules_app("rules: [{cut: {after: 2 chunks, how: close}, answer: one two three four five six seven}]", "r")
    with httpx2.Client(transport=AppTransport(app)) as http:
        stream = iter(client(http).models.generate_content_stream(model="simulator/rules", contents="a"))
        assert [next(stream).text, next(stream).text] == ["one two three ", "four five six "]
        with pytest.raises(httpx2.RemoteProtocolError):
            next(stream)


def test_a_refusal_is_the_sdks_client_error(sdk: genai.Client) -> None:
    """The SDK sees a refusal as it sees the API's."""
    with pytest.raises(genai.errors.ClientError) as caught:
        sdk.models.generate_content(model="gemini-nonesuch", contents="Hello")
    assert (caught.value.code, caught.value.status) == (404, "NOT_FOUND")
    assert caught.value.message is not None
    assert caught.value.message.startswith("models/gemini-nonesuch is not found for API version ")


@pytest.mark.parametrize(
    ("cut", "error"), [(Cut("reset"), httpx2.ReadError), (Cut("close"), httpx2.RemoteProtocolError)]
)
@pytest.mark.parametrize("before", [(), (b"half",)])
def test_a_cut_is_a_transport_error(cut: Cut, error: type[Exception], before: tuple[Step, ...]) -> None:
    """A broken connection raises what a real one would, before the head and in the body alike."""
    with scripted(*before, cut) as http, pytest.raises(error):
        http.get("http://simulator.invalid/")


def test_a_cut_in_the_body_comes_after_what_was_sent() -> None:
    """What came before a cut is seen first."""
    with scripted(b"one", b"two", Cut()) as http, http.stream("GET", "http://simulator.invalid/") as response:
        chunks = response.iter_raw()
        assert [next(chunks), next(chunks)] == [b"one", b"two"]
        with pytest.raises(httpx2.ReadError):
            next(chunks)


def test_pauses_stream() -> None:
    """Each step arrives when its time has come, not all at the end."""
    with scripted(b"one", 0.1, b"two") as http, http.stream("GET", "http://simulator.invalid/") as response:
        chunks = response.iter_raw()
        assert next(chunks) == b"one"
        started = time.monotonic()
        assert next(chunks) == b"two"
        assert time.monotonic() - started >= 0.1


def test_a_reply_without_a_body_is_empty() -> None:
    """No steps: a head and nothing else."""
    with scripted() as http:
        response = http.get("http://simulator.invalid/")
    assert (response.status_code, response.content) == (200, b"")
