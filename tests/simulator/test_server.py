"""The application over loopback HTTP: real connections, and the command that serves it.

What the SDK makes of it is in `test_clients`.
"""

from __future__ import annotations

import http.client
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

from gemcli.simulator.__main__ import SIGNALS, run
from gemcli.simulator.read_rules import RULE, WHEN, load
from gemcli.simulator.replies import Reply, json_reply
from gemcli.simulator.server import Server, serve

from .support import ECHO, KEY, scripted


def exchange(server: Server, request: bytes) -> bytes:
    """All that the server answers to the bytes of a request until it ends the connection."""
    with socket.create_connection(server.socket.getsockname(), timeout=20) as raw:
        raw.sendall(request)
        with raw.makefile("rb") as reader:
            return reader.read()


def said(url: str, model: str) -> object:
    """What a model says to a plain POST, as curl sends it."""
    target = f"{url}/v1beta/models/{model}:generateContent?key=k"
    answer = httpx2.post(target, content=b'{"contents": [{"parts": [{"text": "a"}]}]}').json()
    return answer["candidates"][0]["content"]["parts"][0]["text"]


def test_request_and_reply() -> None:
    """The application sees method, target, headers and body, and the client its status, headers and body."""
    seen: list[tuple[str, str, str | None, bytes]] = []

    def app(method: str, target: str, headers: object, body: bytes) -> Reply:
        assert isinstance(headers, dict)
        seen.append((method, target, headers.get("x-goog-api-key"), body))
        return json_reply({"error": {"code": 429}}, 429, {"retry-after": "2"})

    with serve(app) as server:
        response = httpx2.post(f"{server.url}/a/b?c=d", headers=KEY, content=b"\x00body")
    assert seen == [("POST", "/a/b?c=d", "k", b"\x00body")]
    assert (response.status_code, response.headers["retry-after"]) == (429, "2")
    assert response.json() == {"error": {"code": 429}}


def test_raw_bodies() -> None:
    """With a Content-Length of its own a body goes out raw, so that it can be cut short; so it does to HTTP/1.0."""
    with serve(scripted(b"half", content_length="8")) as server, pytest.raises(httpx2.RemoteProtocolError):
        httpx2.get(server.url)
    with serve(scripted(b"one", b"two")) as server:
        answer = exchange(server, b"GET / HTTP/1.0\r\n\r\n")
    assert answer.partition(b"\r\n\r\n")[2] == b"onetwo"


def test_pauses() -> None:
    """Each step arrives when its time has come; an empty one sends the head alone."""
    with serve(scripted(b"", 0.2, b"one", 0.2, b"two")) as server:
        started = time.monotonic()
        with httpx2.stream("GET", server.url) as response:
            arrivals = [(time.monotonic() - started, b"")]
            arrivals += [(time.monotonic() - started, chunk) for chunk in response.iter_raw()]
    assert [chunk for _, chunk in arrivals] == [b"", b"one", b"two"]
    assert arrivals[1][0] - arrivals[0][0] > 0.05
    assert arrivals[2][0] - arrivals[1][0] > 0.05


def test_pause_ends_with_the_server() -> None:
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


def test_kept_alive() -> None:
    """One connection carries many requests, replies without a body among them."""
    with serve(scripted(status=204)) as server:
        connection = http.client.HTTPConnection("127.0.0.1", server.server_port, timeout=10)
        for _ in range(3):
            connection.request("GET", "/")
            response = connection.getresponse()
            assert (response.status, response.read(), response.will_close) == (204, b"", False)
        connection.close()


@pytest.mark.parametrize(
    ("header", "status"),
    [("Content-Length: -1", 411), ("Transfer-Encoding: chunked", 411), ("Content-Length: 999999999999", 413)],
)
def test_body_of_unknown_length(header: str, status: int) -> None:
    """Where a request ends must be known, and be in reason."""
    with serve() as server:
        answer = exchange(server, f"POST / HTTP/1.1\r\n{header}\r\n\r\n".encode())
    assert answer.split()[1] == str(status).encode()


def test_many_clients() -> None:
    """Thirty-two clients that connect together are all answered, each with its own, and side by side."""
    together = threading.Barrier(32, timeout=20)

    def app(method: str, target: str, headers: object, body: bytes) -> Reply:
        together.wait()  # passes only when all of them are being served
        return json_reply({"target": target})

    with serve(app) as server, ThreadPoolExecutor(32) as pool:
        answers = pool.map(lambda number: httpx2.get(f"{server.url}/{number}").json()["target"], range(32))
        assert list(answers) == [f"/{number}" for number in range(32)]


def test_loopback_only() -> None:
    """Nothing but this machine's loopback is listened on."""
    with serve() as server:
        assert server.socket.getsockname()[0] == "127.0.0.1"


def test_log() -> None:
    """A line a request: method, path, status; never a key, in query or headers, nor a body or terminal escapes."""
    lines: list[str] = []
    request = b"POST /v1beta/x\x1b[2J HTTP/1.0\r\nx-goog-api-key: secret\r\nContent-Length: 6\r\n\r\nsecret"
    with serve(log=lines.append) as server:
        httpx2.get(f"{server.url}/v1beta/models?key=secret")
        assert b"404" in exchange(server, request)
    assert lines == ["GET /v1beta/models 200", "POST /v1beta/x\\x1b[2J 404"]


def test_bug(capfd: pytest.CaptureFixture[str]) -> None:
    """An exception in a scripted application is on stderr, and the client sees a broken connection."""

    def app(*request: object) -> Reply:
        raise ZeroDivisionError

    with serve(app) as server, pytest.raises(httpx2.TransportError):
        httpx2.get(server.url)
    assert "ZeroDivisionError" in capfd.readouterr().err


Command = Callable[..., subprocess.Popen[str]]
ANY = "gemcli-simulator: note: serving any model name: simulator/echo answers, whatever the key\n"


@pytest.fixture
def command() -> Iterator[Command]:
    """Starts `gemcli-simulator`; whatever still runs at the end is killed."""
    running: list[subprocess.Popen[str]] = []

    def start(*arguments: str) -> subprocess.Popen[str]:
        words = [sys.executable, "-m", "gemcli.simulator", *arguments]
        running.append(subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True))
        return running[-1]

    yield start
    for process in running:
        process.kill()
        process.communicate()


def outcome(process: subprocess.Popen[str]) -> tuple[int, str, str]:
    """Status, stdout and stderr of a command that ends."""
    out, err = process.communicate(timeout=20)
    return process.returncode, out, err


def here(capfd: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str, str]:
    """The same of a command that is refused, run in this process."""
    try:
        return (run(arguments), *capfd.readouterr())
    finally:
        signal.pthread_sigmask(signal.SIG_UNBLOCK, SIGNALS)


def url_of(process: subprocess.Popen[str]) -> str:
    """The URL that a server prints."""
    assert process.stdout is not None
    url = process.stdout.readline()
    assert re.fullmatch(r"http://127\.0\.0\.1:\d+\n", url)
    return url.strip()


@pytest.mark.parametrize(("number", "status"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
def test_command(command: Command, number: signal.Signals, status: int) -> None:
    """It prints its URL as one line, says what it serves, which is any name, and ends quietly on a signal."""
    process = command("--verbose")
    assert said(url_of(process), "gemini-flash-latest") == 'Message 1 says: "a".'
    process.send_signal(number)
    logged = "POST /v1beta/models/gemini-flash-latest:generateContent 200\n"
    assert outcome(process) == (status, "", ANY + logged)


def test_named_models(command: Command) -> None:
    """With --model these names are served and listed, and no other is."""
    process = command("--model", "models/gemini-x", "--model", "gemini-y")
    url = url_of(process)
    assert [said(url, name) for name in ("gemini-x", "gemini-y")] == ['Message 1 says: "a".'] * 2
    listed = httpx2.get(f"{url}/v1beta/models", headers=KEY).json()["models"]
    assert [model["name"] for model in listed] == ["models/gemini-x", "models/gemini-y"]
    for name in ("gemini-z", ECHO):
        assert httpx2.get(f"{url}/v1beta/models/{name}", headers=KEY).status_code == 404
    process.terminate()
    assert "serving gemini-x, gemini-y: simulator/echo answers" in outcome(process)[2]


def test_other_addresses(command: Command) -> None:
    """--host listens elsewhere, and says so if other machines can reach it."""
    process = command("--host", "0.0.0.0")
    assert process.stdout is not None
    url = process.stdout.readline().strip()
    assert url.startswith("http://0.0.0.0:")
    assert said(url.replace("0.0.0.0", "127.0.0.1"), "any") == 'Message 1 says: "a".'
    process.terminate()
    assert outcome(process)[2].endswith("note: other machines can reach it, and nothing is encrypted\n")


def test_ipv6() -> None:
    """The URL of an IPv6 address has brackets."""
    try:
        with serve(host="::1") as server:
            assert re.fullmatch(r"http://\[::1\]:\d+", server.url)
            assert httpx2.get(f"{server.url}/v1beta/models", headers=KEY).status_code == 200
    except OSError:
        pytest.skip("this machine has no IPv6")


def test_no_address(capfd: pytest.CaptureFixture[str]) -> None:
    """A port that is in use, and a host that this machine is not, is one clear line on stderr and status 74."""
    with serve() as server:
        port = str(server.server_port)
        status, out, err = here(capfd, "--port", port)
    error = f"gemcli-simulator: error: cannot listen on 127.0.0.1, port {port}: Address already in use\n"
    assert (status, out, err) == (74, "", error + "hint: another program listens there; --port 0 picks a free port\n")
    status, out, err = here(capfd, "--host", "192.0.2.1")
    assert (status, out) == (74, "")
    assert "cannot listen on 192.0.2.1" in err


def test_no_output() -> None:
    """Where the URL cannot be printed, nothing is served, and it is said."""
    command = ["/bin/sh", "-c", f"exec {sys.executable} -m gemcli.simulator >/dev/full"]
    done = subprocess.run(command, stderr=subprocess.PIPE, text=True, timeout=20, check=False)
    assert (done.returncode, "No space left" in done.stderr) == (74, True), done.stderr


def test_rules(command: Command, tmp_path: Path) -> None:
    """With --rules it answers by them to any name but that of the echo."""
    file = tmp_path / "my rules.yaml"
    file.write_text("rules: [{when: {model: gemini-x}, answer: é}, {answer: other}]", encoding="utf-8")
    url = url_of(command("--rules", str(file)))
    answers = [said(url, name) for name in ("gemini-x", "gemini-y", "simulator/rules", ECHO)]
    assert answers == ["é", "other", "other", 'Message 1 says: "a".']


WRONG = b"rules:\n  - anwser: a\n  - times: 0\n"
PROBLEMS = """wrong.yaml: 2 problems
  wrong.yaml:2:5: `anwser` is not a key of a rule [unknown-key] (did you mean `answer`?)
  wrong.yaml:3:12: `times` must be a whole number of at least 1, not "0" [value]
"""


@pytest.mark.parametrize(
    ("arguments", "status", "message"),
    [
        ("--port 99999", 2, None),
        ("--model a?b", 2, None),
        ("--nonsense", 2, None),
        ("extra", 2, None),
        ("--rules wrong.yaml", 2, PROBLEMS),
        ("--rules missing.yaml", 66, "there is no file missing.yaml\n"),
    ],
)
def test_refused(
    capfd: pytest.CaptureFixture[str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    arguments: str,
    status: int,
    message: str | None,
) -> None:
    """A usage error is one line on stderr and a hint, every problem of a file another; nothing is served."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "wrong.yaml").write_bytes(WRONG)
    code, out, err = here(capfd, *arguments.split())
    assert (code, out) == (status, "")
    assert err.startswith("gemcli-simulator: error: ")
    if message is None:
        assert re.fullmatch("[^\n]*[^.\n]\nhint: run gemcli-simulator --help\n", err)
    else:
        assert err.removeprefix("gemcli-simulator: error: ") == message


def test_help(capfd: pytest.CaptureFixture[str]) -> None:
    """The example in --help is a rules file, every key of a rule is named, and the full grammar is where it says."""
    _, out, err = here(capfd, "--help")
    assert err == ""
    shown = re.search(r"^ +rules:\n(?: {4,}.*\n)+", out, re.MULTILINE)
    assert shown is not None
    assert len(load(textwrap.dedent(shown[0]), "help").rules) == 4
    assert all(re.search(rf"\b{key}\b", out) for key in (*RULE.keys, *WHEN.keys))
    assert "gemcli-simulator(1)" in out
