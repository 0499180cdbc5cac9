"""The application over loopback HTTP: real clients, real connections, and the command that serves it."""

from __future__ import annotations

import contextlib
import http.client
import json
import re
import signal
import socket
import subprocess
import sys
import textwrap
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx2
import pytest
from google import genai

from gemcli.simulator.replies import Step
from gemcli.simulator.rules import load
from gemcli.simulator.rules_schema import RULE, WHEN
from gemcli.simulator.server import Server, serve
from gemcli.simulator.simulated_api import App, Cut, Reply, json_reply

from .support import KEY, says


@contextlib.contextmanager
def client(url: str) -> Iterator[genai.Client]:
    """The SDK's client for a server, closed at the end."""
    sdk = genai.Client(api_key="k", vertexai=False, http_options={"base_url": url, "api_version": "v1beta"})
    try:
        yield sdk
    finally:
        sdk.close()


@pytest.fixture
def sdk() -> Iterator[genai.Client]:
    """The SDK's client on a running server."""
    with serve() as server, client(server.url) as sdk:
        yield sdk


def scripted(*steps: Step, status: int = 200, **headers: str) -> App:
    """An application whose every answer is these steps."""
    plain = {name.replace("_", "-"): value for name, value in headers.items()}
    return lambda method, target, seen, body: Reply(status, plain, steps)


def test_the_sdk_generates(sdk: genai.Client) -> None:
    """generate_content gets a whole answer, usage and all."""
    answer = sdk.models.generate_content(model="simulator/echo", contents="Hello", config={"max_output_tokens": 2})
    assert answer.text == "Message "
    assert answer.candidates is not None
    assert answer.candidates[0].finish_reason == genai.types.FinishReason.MAX_TOKENS
    assert answer.usage_metadata is not None
    assert answer.usage_metadata.total_token_count == 4
    assert answer.model_version == "simulator/echo"


def test_the_sdk_converses(sdk: genai.Client) -> None:
    """Three turns of the SDK's own chat: the last sees those before it."""
    chat = sdk.chats.create(model="simulator/echo")
    answers = [chat.send_message(text).text for text in ("one", "two", "three")]
    assert answers[-1] == 'Message 3 says: "three". Before it: 1: "one"; 2: "two".'


def test_the_sdk_counts_and_lists(sdk: genai.Client) -> None:
    """count_tokens, models.list and models.get answer."""
    assert sdk.models.count_tokens(model="simulator/echo", contents="12345678").total_tokens == 2
    assert [model.name for model in sdk.models.list()] == ["models/simulator/echo"]
    assert sdk.models.get(model="simulator/echo").name == "models/simulator/echo"


def test_the_sdk_sees_refusals(sdk: genai.Client) -> None:
    """A request out of order is the SDK's ClientError with the API's words."""
    with pytest.raises(genai.errors.ClientError) as caught:
        sdk.models.generate_content(model="simulator/echo", contents=[says("user", "a"), says("model", "b")])
    assert (caught.value.code, caught.value.status) == (400, "INVALID_ARGUMENT")
    assert caught.value.message == "Please ensure that multiturn requests ends with a user role or a function response."


def test_a_scripted_error_arrives_with_its_headers() -> None:
    """What an application answers is what a client sees: status, headers, body."""
    reply = json_reply({"error": {"code": 429}}, 429, {"retry-after": "2"})
    with serve(lambda method, target, headers, body: reply) as server:
        response = httpx2.get(server.url)
    assert (response.status_code, response.headers["retry-after"]) == (429, "2")
    assert response.json() == {"error": {"code": 429}}


def test_an_application_sees_the_request() -> None:
    """Method, target with its query, headers and body reach the application."""
    seen: list[tuple[str, str, str | None, bytes]] = []

    def app(method: str, target: str, headers: object, body: bytes) -> Reply:
        assert isinstance(headers, dict)
        seen.append((method, target, headers.get("x-goog-api-key"), body))
        return json_reply({})

    with serve(app) as server:
        httpx2.post(f"{server.url}/a/b?c=d", headers=KEY, content=b"\x00body")
    assert seen == [("POST", "/a/b?c=d", "k", b"\x00body")]


@pytest.mark.parametrize("before", [(), (b"half", 0.05)])
@pytest.mark.parametrize("how", ["reset", "close"])
def test_a_cut_is_a_transport_error(how: str, before: tuple[Step, ...]) -> None:
    """A broken connection is never a clean end, neither before the head nor in the body."""
    cut = Cut("reset" if how == "reset" else "close")
    error = httpx2.ReadError if how == "reset" else httpx2.RemoteProtocolError
    with serve(scripted(*before, cut)) as server, pytest.raises(error):
        httpx2.get(server.url)


def test_a_body_can_be_shorter_than_it_says() -> None:
    """With a Content-Length of its own a body goes out raw, so that it can be cut short."""
    with serve(scripted(b"half", content_length="8")) as server, pytest.raises(httpx2.RemoteProtocolError):
        httpx2.get(server.url)


def test_pauses_stream() -> None:
    """Each step arrives when its time has come; an empty one sends the head alone."""
    with serve(scripted(b"", 0.2, b"one", 0.2, b"two")) as server:
        started = time.monotonic()
        with httpx2.stream("GET", server.url) as response:
            arrivals = [(time.monotonic() - started, b"")]
            arrivals += [(time.monotonic() - started, chunk) for chunk in response.iter_raw()]
    assert [chunk for _, chunk in arrivals] == [b"", b"one", b"two"]
    assert arrivals[1][0] - arrivals[0][0] > 0.05
    assert arrivals[2][0] - arrivals[1][0] > 0.05


def test_a_pause_ends_with_the_server() -> None:
    """Closing the server ends a reply in the middle of a pause; nothing is waited for."""
    with serve(scripted(b"one", 60.0, b"two")) as server:
        reader = socket.create_connection(server.socket.getsockname(), timeout=10)
        reader.sendall(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
        assert b"200" in reader.recv(100)
    started = time.monotonic()
    with reader:
        while reader.recv(100):
            pass
    assert time.monotonic() - started < 5


def test_a_connection_is_kept_alive() -> None:
    """One connection carries many requests, replies without a body among them."""
    with serve(scripted(status=204)) as server:
        connection = http.client.HTTPConnection("127.0.0.1", server.server_port, timeout=10)
        for _ in range(3):
            connection.request("GET", "/")
            response = connection.getresponse()
            assert (response.status, response.read()) == (204, b"")
            assert not response.will_close
        connection.close()


def test_an_old_client_gets_no_chunks() -> None:
    """HTTP/1.0 knows no chunks: the body goes out raw and the connection ends it."""
    with serve(scripted(b"one", b"two")) as server, socket.create_connection(server.socket.getsockname()) as old:
        old.sendall(b"GET / HTTP/1.0\r\n\r\n")
        with old.makefile("rb") as reader:
            assert reader.read().partition(b"\r\n\r\n")[2] == b"onetwo"


@pytest.mark.parametrize(
    ("header", "status"),
    [("Content-Length: -1", 411), ("Transfer-Encoding: chunked", 411), ("Content-Length: 999999999999", 413)],
)
def test_a_body_of_unknown_length_is_refused(header: str, status: int) -> None:
    """Where a request ends must be known, and be in reason."""
    with serve() as server, socket.create_connection(server.socket.getsockname()) as raw:
        raw.sendall(f"POST / HTTP/1.1\r\n{header}\r\n\r\n".encode())
        with raw.makefile("rb") as reader:
            assert reader.readline().split()[1] == str(status).encode()


def test_many_clients_are_answered_at_once() -> None:
    """Thirty-two clients that connect together are all answered, each with its own, and side by side."""
    together = threading.Barrier(32, timeout=20)

    def app(method: str, target: str, headers: object, body: bytes) -> Reply:
        together.wait()  # passes only when all of them are being served
        return json_reply({"target": target})

    with serve(app) as server, ThreadPoolExecutor(32) as pool:
        answers = pool.map(lambda number: httpx2.get(f"{server.url}/{number}").json()["target"], range(32))
        assert list(answers) == [f"/{number}" for number in range(32)]


@pytest.mark.parametrize("host", ["0.0.0.0", "192.0.2.1"])
def test_only_loopback_is_served(host: str) -> None:
    """Nothing but this machine's loopback is listened on."""
    with pytest.raises(ValueError, match="not a loopback address"):
        Server(host=host)


def test_the_log_has_no_key_and_no_body() -> None:
    """A line a request: method, path, status; never the query, where keys stand, and no terminal escapes."""
    lines: list[str] = []
    with serve(log=lines.append) as server:
        httpx2.get(f"{server.url}/v1beta/models?key=secret")
        with socket.create_connection(server.socket.getsockname()) as raw:
            raw.sendall(b"POST /v1beta/x\x1b[2J HTTP/1.0\r\nx-goog-api-key: secret\r\nContent-Length: 6\r\n\r\nsecret")
            assert b"404" in raw.recv(100)
            while raw.recv(1000):
                pass
    assert lines == ["GET /v1beta/models 200", "POST /v1beta/x\\x1b[2J 404"]


def test_a_bug_in_an_application_is_shown(capfd: pytest.CaptureFixture[str]) -> None:
    """An exception in a scripted application is on stderr, and the client sees a broken connection."""

    def app(*request: object) -> Reply:
        raise ZeroDivisionError

    with serve(app) as server, pytest.raises(httpx2.TransportError):
        httpx2.get(server.url)
    assert "ZeroDivisionError" in capfd.readouterr().err


Command = Callable[..., subprocess.Popen[str]]


@pytest.fixture
def command() -> Iterator[Command]:
    """Starts `python -m gemcli.simulator`; whatever still runs at the end is killed."""
    running: list[subprocess.Popen[str]] = []

    def start(*arguments: str) -> subprocess.Popen[str]:
        words = [sys.executable, "-m", "gemcli.simulator", *arguments]
        running.append(subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True))
        return running[-1]

    yield start
    for process in running:
        process.kill()
        process.communicate()


@pytest.mark.parametrize(("number", "status"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
def test_the_command_serves_until_a_signal(command: Command, number: signal.Signals, status: int) -> None:
    """It prints its URL as one line, answers to the names it was given, and ends quietly on a signal."""
    process = command("--model", "gemini-flash-latest", "--verbose")
    assert process.stdout is not None
    url = process.stdout.readline().strip()
    assert url.startswith("http://127.0.0.1:")
    with client(url) as sdk:
        assert sdk.models.generate_content(model="gemini-flash-latest", contents="a").text == 'Message 1 says: "a".'
    process.send_signal(number)
    out, err = process.communicate(timeout=20)
    assert (process.returncode, out) == (status, "")
    assert err == "POST /v1beta/models/gemini-flash-latest:generateContent 200\n"


def test_a_taken_port_is_one_line(command: Command) -> None:
    """A port that is in use is one clear line on stderr and status 74."""
    with serve() as server:
        process = command("--port", str(server.server_port))
        out, err = process.communicate(timeout=20)
    assert (process.returncode, out) == (74, "")
    assert err == "gemcli.simulator: error: cannot serve: Address already in use\n"


def test_the_command_plays_rules(command: Command, tmp_path: Path) -> None:
    """With --rules it answers by them to simulator/rules, to the names in the file and to those it is given."""
    file = tmp_path / "my rules.yaml"
    file.write_text("rules: [{when: {model: gemini-x}, answer: é}, {answer: other}]", encoding="utf-8")
    process = command("--rules", str(file), "--model", "gemini-y")
    assert process.stdout is not None
    with client(process.stdout.readline().strip()) as sdk:
        names = ("gemini-x", "gemini-y", "simulator/rules", "simulator/echo")
        said = [sdk.models.generate_content(model=name, contents="a").text for name in names]
    assert said == ["é", "other", "other", 'Message 1 says: "a".']


@pytest.mark.parametrize(
    ("content", "status", "message"),
    [
        (
            b"rules:\n  - anwser: a\n  - times: 0\n",
            2,
            (
                "{file}: 2 problems\n"
                "  line 2, column 5: `anwser` is not a key of a rule [unknown-key] (did you mean `answer`?)\n"
                '  line 3, column 12: `times` must be a whole number of at least 1, not "0" [value]\n'
            ),
        ),
        (b"rules: [\xff]", 65, "{file}: byte 9 (0xff) is not UTF-8\n"),
        (None, 66, "there is no file {file}\n"),
    ],
)
def test_a_wrong_rules_file_is_told(
    command: Command, tmp_path: Path, content: bytes | None, status: int, message: str
) -> None:
    """Every problem of the file is on a line of its own, with gemcli's own status; nothing is served."""
    file = tmp_path / "rules.yaml"
    if content is not None:
        file.write_bytes(content)
    process = command("--rules", str(file))
    out, err = process.communicate(timeout=20)
    assert (process.returncode, out) == (status, "")
    assert err == f"gemcli.simulator: error: {message.format(file=file)}"


def test_the_help_shows_the_grammar(command: Command, tmp_path: Path) -> None:
    """The example in --help is a rules file, every key of a rule is named, and the full grammar is where it says."""
    out, err = command("--help").communicate(timeout=20)
    assert err == ""
    shown = re.search(r"^ +rules:\n(?: {4,}.*\n)+", out, re.MULTILINE)
    assert shown is not None
    assert len(load(textwrap.dedent(shown[0]), "help").rules) == 4
    assert all(re.search(rf"\b{key}\b", out) for key in (*RULE.keys, *WHEN.keys))
    assert "python -m pydoc gemcli.simulator.rules" in out


@pytest.mark.parametrize("arguments", [("--port", "99999"), ("--model", "a b"), ("--nonsense",), ("extra",)])
def test_a_wrong_argument_is_one_line(command: Command, arguments: tuple[str, ...]) -> None:
    """A usage error is one line on stderr and status 2."""
    process = command(*arguments)
    out, err = process.communicate(timeout=20)
    assert (process.returncode, out) == (2, "")
    assert err.startswith("gemcli.simulator: error: ")
    assert err.count("\n") == 1


def test_any_http_client_can_talk_to_it() -> None:
    """A plain POST, as curl sends it, is enough."""
    body = json.dumps({"contents": [{"parts": [{"text": "Hi"}]}]})
    with serve() as server:
        response = httpx2.post(f"{server.url}/v1beta/models/simulator/echo:generateContent?key=k", content=body)
    assert response.json()["candidates"][0]["content"]["parts"][0]["text"] == 'Message 1 says: "Hi".'
