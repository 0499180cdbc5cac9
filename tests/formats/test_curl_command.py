"""The request behind the last answer: its body, and the command that a real shell and a real curl carry out."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gemcli.formats.curl_command import dump
from tests.builders import answer, api_error, contents, header, json_values, request, response, write_session
from tests.support import CANARY, Done, InProcess, Model

KEYS = {"GOOGLE_API_KEY", "GEMINI_API_KEY"}

needs_curl = pytest.mark.skipif(shutil.which("curl") is None, reason="needs curl")


def shell(script: str, directory: Path, env: Mapping[str, str]) -> Done:
    """What a POSIX shell makes of a script, without the keys of this process."""
    world = {name: value for name, value in os.environ.items() if name not in KEYS} | dict(env)
    return Done(
        subprocess.run(
            ["sh"], input=script.encode(), cwd=directory, env=world, capture_output=True, timeout=60, check=False
        )
    )


# The body


def test_without_an_answer(here: InProcess) -> None:
    """A session without an answer has no request: 65."""
    here.ok("new", "-s", "a")
    caught = here.failed("export", "request", "-s", "a").error
    assert (caught["reason"], caught["hint"]) == ("NOT_EXPRESSIBLE", "send a message first")


def test_the_body_is_what_was_sent(here: InProcess, model: Model) -> None:
    """`export request` is the body of the last answered request, with the settings of its message."""
    call = {"functionCall": {"name": "f", "args": {}}}
    signed = {"text": "a", "thoughtSignature": "c2ln"}
    here.ok("new", "-s", "a", "--system", "Be brief", "--temperature", "0.5", "--seed", "1")
    model.script(answer(signed))
    for options in ([], ["--temperature", "0.1", "--stop", "END"], ["--model", "gemini-3-other", "--top-k", "3"]):
        here.ok("send", "-s", "a", "question", *options)
        assert here.ok("export", "request", "-s", "a") == [model.requests[-1]]
    model.script(api_error(503, "UNAVAILABLE"), answer("no", finish="SAFETY"), answer(call))
    here.failed("send", "-s", "a", "failed", "--seed", "5")
    here.failed("send", "-s", "a", "refused", "--seed", "6")
    assert here.ok("export", "request", "-s", "a") == [model.requests[2]]
    assert "gemini-3-other" in here("export", "request", "-s", "a", "--curl").out
    here("send", "-s", "a", "call", "--seed", "7")
    assert here.ok("export", "request", "-s", "a") == [model.requests[-1]]
    here.ok("rewind", "-s", "a")
    assert here.ok("export", "request", "-s", "a") == [model.requests[2]]


# The command


@needs_curl
@pytest.mark.parametrize("name", sorted(KEYS))
def test_curl_sends_the_same(here: InProcess, model: Model, tmp_path: Path, name: str) -> None:
    """The command gets the answer the session has, with the same body, and either name of the key."""
    here.ok("new", "-s", "a", "--system", 'It\'s "brief"')
    told = here.ok("send", "-s", "a", "one")[0]
    done = here("export", "request", "-s", "a", "--curl")
    assert (done.status, CANARY in done.out) == (0, False)
    done = shell(done.out, tmp_path, {name: "own-key"})
    assert (done.status, done.err) == (0, "")
    assert json.loads(done.out)["candidates"][0]["content"]["parts"] == [{"text": told["text"]}]
    assert model.requests[1] == model.requests[0]
    assert model.targets[1] == model.targets[0].replace(":streamGenerateContent?alt=sse", ":generateContent")
    key, kind = ({k.lower(): v for k, v in model.headers[1].items()}[k] for k in ("x-goog-api-key", "content-type"))
    assert (key, kind) == ("own-key", "application/json")


@needs_curl
@pytest.mark.parametrize(
    "text",
    [
        "it's \"quoted\"",
        "two\nlines\n",
        "\nEND\nEND\n'END'\n",
        "$HOME ${PATH} $(touch made) `touch made` \\$x",
        "; touch made #\n& | > made",
        "back\\slash \\n \\",
        "!! %s @file @-",
        "é 😀 \u2028 \x85 \x1b[31m \x7f",
        "x" * 300_000,
    ],
    ids=[
        "quotes", "newlines", "end", "expansions", "operators", "backslashes", "marks", "unicode", "long",
    ],
)  # fmt: skip
def test_messages_survive_the_shell(model: Model, tmp_path: Path, text: str) -> None:
    """Whatever a message holds arrives as it is, and the shell does nothing of what it says."""
    body = {"contents": contents(text)}
    url = f"{model.url}/v1/models/x'$(>made)`>made`:generateContent"
    done = shell(dump({"url": url, "body": body}, credentials=False), tmp_path, {"GEMINI_API_KEY": "k"})
    assert (done.status, done.err) == (0, "")
    assert model.requests == [body]
    assert list(tmp_path.iterdir()) == []


@needs_curl
def test_text_that_is_no_utf_8(here: InProcess, model: Model, tmp_path: Path) -> None:
    """A lone surrogate, which JSON can hold and UTF-8 cannot, is sent by the command as it was sent by `send`."""
    asked: Any = {"model": "gemini-test", "backend": "gemini"}
    records = [
        request(1, "\ud83d", **asked),
        response(1, "\ude00"),
        request(2, "question 2", **asked),
        response(2, "a"),
    ]
    write_session("a", header(**asked), *records)
    done = here("export", "request", "-s", "a", "--curl")
    assert shell(done.out, tmp_path, {"GEMINI_API_KEY": "k"}).status == 0
    assert [ascii(content["parts"][0]["text"]) for content in model.requests[0]["contents"]] == [
        "'\\ud83d'", "'\\ude00'", "'question 2'",
    ]  # fmt: skip


@pytest.mark.parametrize(
    "keys", [{"GOOGLE_API_KEY": "secret-1", "GEMINI_API_KEY": "secret-2"}, {}], ids=["set", "none"]
)
def test_no_key_is_in_it(here: InProcess, model: Model, keys: dict[str, str]) -> None:
    """The command is the same with and without a key in the environment, and names only where it is."""
    here.ok("new", "-s", "a")
    here.ok("send", "-s", "a", "hello")
    for name in KEYS:
        here.env.pop(name, None)
    here.env |= keys
    done = here("export", "request", "-s", "a", "--curl")
    assert (done.status, done.err) == (0, "")
    assert "secret" not in done.out
    assert "no-key" not in done.out
    assert "x-goog-api-key: ${GOOGLE_API_KEY:-${GEMINI_API_KEY:-}}" in done.out
    assert len(model.requests) == 1


@needs_curl
def test_curl_for_vertex(here: InProcess, model: Model, tmp_path: Path) -> None:
    """For Vertex AI the command asks gcloud for a token when it runs, and sends no key."""
    here.env |= {"GOOGLE_VERTEX_BASE_URL": model.url, "GOOGLE_API_KEY": "secret"}
    (tmp_path / "c.json").write_text(json.dumps(contents("q", "a")))
    here.ok("new", "-s", "a", "--project", "p", "--location", "l", "--history", str(tmp_path / "c.json"))
    done = here("export", "request", "-s", "a", "--curl")
    programs = tmp_path / "bin"
    programs.mkdir()
    (programs / "gcloud").write_text('#!/bin/sh\necho "token of $*"\n')
    (programs / "gcloud").chmod(0o755)
    done = shell(done.out, tmp_path, {"PATH": f"{programs}:{os.environ['PATH']}"})
    assert (done.status, model.requests) == (0, [{"contents": contents("q"), "generationConfig": {}}])
    assert model.targets == ["/v1beta1/projects/p/locations/l/publishers/google/models/gemini-test:generateContent"]
    headers = {name.lower(): value for name, value in model.headers[0].items()}
    assert headers["authorization"] == "Bearer token of auth print-access-token"
    assert "x-goog-api-key" not in headers


@needs_curl
@pytest.mark.skipif(not os.path.isdir("/proc/self"), reason="needs /proc")
@pytest.mark.parametrize("program", ["sh", "bash", "dash", "zsh"])
def test_nobody_sees_the_key(model: Model, tmp_path: Path, program: str) -> None:
    """While the request is under way, no process has the key, or the access token, among its arguments."""
    if shutil.which(program) is None:
        pytest.skip(f"needs {program}")
    (tmp_path / "gcloud").write_text("#!/bin/sh\necho token-5ecret\n")
    (tmp_path / "gcloud").chmod(0o755)
    seen: list[bytes] = []
    model.during = lambda _number: seen.extend(command_lines())
    env = {**os.environ, "GEMINI_API_KEY": "key-5ecret $HOME `x`", "PATH": f"{tmp_path}:{os.environ['PATH']}"}
    for credentials in (False, True):
        url = f"{model.url}/v1/models/m:generateContent"
        script = dump({"url": url, "body": {"contents": contents("q")}}, credentials=credentials)
        subprocess.run([program], input=script.encode(), env=env, capture_output=True, timeout=60, check=True)
    first, second = ({name.lower(): value for name, value in one.items()} for one in model.headers)
    assert first["x-goog-api-key"] == "key-5ecret $HOME `x`"
    assert second["authorization"] == "Bearer token-5ecret"
    assert len([line for line in seen if b"--data-binary" in line and model.url.encode() in line]) == 2
    assert [line for line in seen if b"5ecret" in line] == []


def command_lines() -> list[bytes]:
    """The arguments of every process, as any user of the machine reads them."""
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        with suppress(OSError):
            found.append(path.read_bytes())
    return found


@needs_curl
@pytest.mark.parametrize("program", ["sh", "bash", "zsh"])
@pytest.mark.parametrize("name", ["key", 'it\'s "my" $(key) `x`}'])
def test_a_key_in_a_file(here: InProcess, model: Model, tmp_path: Path, program: str, name: str) -> None:
    """Without a key in the environment the command reads the file that gemcli reads, when it runs."""
    if shutil.which(program) is None:
        pytest.skip(f"needs {program}")
    file = tmp_path / name
    file.write_text("file-key\n")
    file.chmod(0o600)
    here.ok("new", "-s", "a")
    here.ok("send", "-s", "a", "hello")
    script = here("export", "request", "-s", "a", "--curl", env={"GEMINI_API_KEY_FILE": str(file)}).out
    assert "file-key" not in script
    for env, key in (({}, "file-key"), ({"GEMINI_API_KEY": "own"}, "own"), ({"GOOGLE_API_KEY": "own"}, "own")):
        world = {name: value for name, value in os.environ.items() if name not in KEYS} | env
        done = subprocess.run([program], input=script.encode(), env=world, capture_output=True, timeout=60, check=True)
        headers = {name.lower(): value for name, value in model.headers[-1].items()}
        assert (headers["x-goog-api-key"], done.stderr) == (key, b"")


@needs_curl
def test_curl_for_express_mode(here: InProcess, model: Model, tmp_path: Path) -> None:
    """In express mode, which has no project, the command sends the key and not a token of gcloud."""
    here.env |= {"GOOGLE_VERTEX_BASE_URL": model.url, "GOOGLE_API_KEY": "secret"}
    (tmp_path / "c.json").write_text(json.dumps(contents("q", "a")))
    here.ok("new", "-s", "a", "--backend", "vertex", "--history", str(tmp_path / "c.json"))
    done = here("export", "request", "-s", "a", "--curl")
    assert "secret" not in done.out
    shell(done.out, tmp_path, {"GOOGLE_API_KEY": "express-key"})
    headers = {name.lower(): value for name, value in model.headers[0].items()}
    assert headers.get("x-goog-api-key") == "express-key"
    assert "authorization" not in headers


@pytest.mark.parametrize("format_", ["contents", "script", "openai", "markdown"])
def test_curl_is_for_requests_only(here: InProcess, model: Model, format_: str) -> None:
    """--curl with another format is a usage error."""
    here.ok("new", "-s", "a")
    assert here.failed("export", format_, "-s", "a", "--curl").status == 2


def test_the_session_is_only_read(here: InProcess, model: Model) -> None:
    """Neither form sends anything or changes the session."""
    here.ok("new", "-s", "a")
    here.ok("send", "-s", "a", "hello")
    path = here.session("a")
    before, asked = path.read_bytes(), len(model.requests)
    assert here("export", "request", "-s", "a").status == here("export", "request", "-s", "a", "--curl").status == 0
    assert (path.read_bytes(), len(model.requests)) == (before, asked)


@given(json_values(), st.text(st.characters(exclude_categories=["Cs", "Cc"]), min_size=1))
def test_one_line_that_nothing_ends(body: Any, url: str) -> None:
    """Any body is one line of the here document, and any URL one word of the shell, so nothing can escape."""
    *head, data, end, rest = dump({"url": url, "body": body}, credentials=False).split("\n")
    assert (len(head), end, rest) == (5, "END", "")
    assert json.loads(data) == body
