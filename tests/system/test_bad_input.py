"""Bad input, by name: what each kind of wrong session, message, history, config, key or model comes to.

Each time: the exact status, what and where in the message, what next in the hint, and no harm to the session. What the
readers of each format find is proved with them; here are one or two of each kind, through the whole program.
"""

from __future__ import annotations

import json
import os
import re
import stat
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from gemcli.sessions import store
from tests.builders import ECHO, header, request, response, turn, write_session
from tests.support import Done, Gemcli, InProcess, Model


def assert_told(done: Done, status: int, *words: str, hint: str | None = None) -> None:
    """The run failed with this status, printed nothing, and said these words and this hint on stderr."""
    assert done.status == status, done.err
    assert done.out == ""
    assert "Traceback" not in done.err
    for word in words:
        assert word in done.err
    if hint is not None:
        assert hint in done.err.partition("hint: ")[2]


# Sessions

GOOD = [json.dumps(record).encode() for record in [header(), *turn(1), *turn(2)]]
BROKEN = "restore the line from a backup"

SESSIONS: dict[str, tuple[bytes, str, str]] = {
    "empty": (b"", "is empty", "gemcli new --force"),
    "only-newlines": (b"\n\n", "is empty", "gemcli new --force"),
    "bad-line": (b"\n".join([*GOOD[:2], b'{"kind":"respo', *GOOD[3:], b""]), "line 3: ", BROKEN),
    "bad-record": (b"\n".join([*GOOD[:2], b'{"kind":"response"}', *GOOD[3:], b""]), "line 3: a response record", ""),
    "doubled-turn": (b"\n".join([*GOOD, *GOOD[1:3], b""]), "line 6: turn 1 is repeated", ""),
    "two-sessions": (b"\n".join([*GOOD, *GOOD, b""]), "line 6: a second session record", ""),
    "newer-format": (GOOD[0].replace(b'"format": 1', b'"format": 99') + b"\n", "line 1: format 99", "upgrade gemcli"),
    "newer-record": (
        b"\n".join([*GOOD, b'{"kind":"branch","time":"2099-01-01T00:00:00Z"}', b""]),
        "line 6: records of kind 'branch'",
        "upgrade gemcli",
    ),
    "other-jsonl": (b'{"role":"user","content":"hi"}\n', "line 1: not a record", ""),
    "a-list": (b'[{"role":"user","parts":[{"text":"hi"}]}]\n', "line 1: ", ""),
    "png": (b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR" + bytes(range(256)), "line 1: ", ""),
    "nested": (b"[" * 100_000 + b"\n", "line 1: ", ""),
}


@pytest.mark.parametrize("name", SESSIONS)
def test_a_file_that_is_no_good_session(here: InProcess, name: str) -> None:
    """A corrupt, foreign or newer file is 65 for readers and writers, told by line, and not changed by a byte."""
    path = here.directory / "s.jsonl"
    data, words, hint = SESSIONS[name]
    path.write_bytes(data)
    for command in (["history"], ["rewind"], ["send", "hi"]):
        done = here(command[0], "-s", "s.jsonl", *command[1:])
        assert_told(done, 65, "s.jsonl", words, hint=hint)
        assert done.err.count("\n") <= 2
        # Of a file that never was a session nothing is to be cut off.
        assert ("head -n" in done.err) == (name in ("bad-line", "bad-record", "doubled-turn", "two-sessions"))
    assert path.read_bytes() == data
    assert sorted(os.listdir(here.directory)) == ["s.jsonl"]


@pytest.mark.parametrize("name", ["bad-line", "bad-record", "doubled-turn", "two-sessions"])
def test_the_hint_for_a_damaged_session(here: InProcess, name: str) -> None:
    """A damaged session comes with what to do about it: the command in the hint makes a session that loads."""
    (here.directory / "s.jsonl").write_bytes(SESSIONS[name][0])
    done = here("history", "-s", "s.jsonl")
    (command,) = re.findall(r"hint: .*: (head -n .*)\n", done.err)
    subprocess.run(["/bin/sh", "-c", command], cwd=here.directory, timeout=20, check=True)
    assert here("history", "-s", "whole.jsonl", "--check").status == 0


SPECIAL: dict[str, Callable[[Path], None]] = {
    "directory": lambda path: path.mkdir(),
    "fifo": lambda path: os.mkfifo(path),
    "dev-zero": lambda path: path.symlink_to("/dev/zero"),
    "dev-null": lambda path: path.symlink_to("/dev/null"),
    "loop": lambda path: path.symlink_to(path),
}


@pytest.mark.parametrize("kind", SPECIAL)
def test_what_is_no_plain_file(gemcli: Gemcli, here: InProcess, kind: str) -> None:
    """A directory, FIFO, device or loop of links is told to be no session by every command, and never waited for."""
    path = here.directory / "s.jsonl"
    SPECIAL[kind](path)
    before = stat.S_IFMT(path.lstat().st_mode)
    # The first one is a process of its own: it can be ended, should it wait.
    assert_told(gemcli("history", "-s", "s.jsonl", timeout=20), 65, "is not a regular file")
    for command in (["rewind"], ["send", "hi"], ["new", "--force"], ["send", "--create", "hi"]):
        assert_told(here(command[0], "-s", "s.jsonl", *command[1:]), 65, "is not a regular file")
    assert_told(here("new", "-s", "s.jsonl"), 73, "already exists")
    assert_told(here("new", "-s", "x", "--from", "s.jsonl"), 65, "not a session")
    assert stat.S_IFMT(path.lstat().st_mode) == before
    assert os.listdir(here.directory) == ["s.jsonl"]


@pytest.mark.parametrize(
    "command", [["history"], ["history", "--path"], ["rewind"], ["send", "hi"], ["export", "script"]]
)
@pytest.mark.parametrize("session", ["nope", "./no where.jsonl"])
def test_a_missing_session(here: InProcess, command: list[str], session: str) -> None:
    """A missing session is 66 with the exact command that makes it, which does; nothing is made before."""
    done = here(*command, "-s", session)
    assert_told(done, 66, "there is no session at")
    made = re.findall(r"hint: make it: gemcli new -s (.*);", done.err)
    assert made == [session if " " not in session else f"'{session}'"]
    assert os.listdir(here.directory) == []
    assert not here.session(session).exists()
    assert here("new", "-s", session).status == 0
    assert here("history", "-s", session).status == 0


def test_paths_that_lead_nowhere(here: InProcess) -> None:
    """A session is not made together with its directory, not below a file, and not in the place of a directory."""
    (here.directory / "file").write_text("")
    (here.directory / "a").mkdir()
    assert_told(here("new", "-s", "no/where"), 66, "no does not exist", hint="mkdir -p ")
    for command in (["history"], ["send", "hi"]):
        done = here(command[0], "-s", "file/s", *command[1:])
        assert (done.status in (65, 66), "file/s" in done.err) == (True, True)
    assert here("new", "-s", "file/s").status in (66, 74)
    for name in ("a/..", "..", "a/../..", "./"):
        assert here("new", "-s", name, "--force").status in (2, 65)
    assert sorted(os.listdir(here.directory)) == ["a", "file"]


def test_a_session_whose_turn_order_is_broken(here: InProcess) -> None:
    """A session whose history the API would refuse is read, but nothing is sent or exported, and --check says why."""
    write_session("a", header(), request(1, ""), response(1, "x"))
    assert here("history", "-s", "a").status == 0
    for command in (["history", "--check"], ["send", "hi"], ["export", "contents"], ["new", "--from", "a"]):
        session = "b" if command[0] == "new" else "a"
        done = here(command[0], "-s", session, *command[1:])
        assert_told(done, 65, "content 0: part 0 is empty text [blank-text]")
    assert len(here.records("a")) == 3
    assert here("rewind", "-s", "a").status == 0
    assert here("send", "-s", "a", "hi").status == 0


# Messages

NOT_TEXT = {
    "latin1": (b"gr\xfc\xdfe", "byte 3 (0xfc) is not UTF-8", "iconv -f latin1 -t utf-8"),
    "windows": (b"\x93gr\xfc\xdfe\x94", "byte 1 (0x93) is not UTF-8", "iconv -f windows-1252 -t utf-8"),
    "cut": (b"cut \xe2\x82", "byte 5 (0xe2) is not UTF-8", "was it cut off?"),
    "surrogate": (b"\xed\xa0\x80", "byte 1 (0xed) is not UTF-8", "iconv"),
    "nul": ("über".encode() + b"\0", "byte 6 is NUL: this is binary data, not text", None),
    "utf-16": (b"\xff\xfeh\0i\0", "byte 1 (0xff) is not UTF-8: this is text in UTF-16", "iconv -f utf-16 -t utf-8"),
    "utf-16le": ("über".encode("utf-16le"), "is not UTF-8: this is text in UTF-16LE", "iconv -f utf-16le -t utf-8"),
    "utf-16be": ("hello".encode("utf-16be"), "byte 1 is NUL: this is text in UTF-16BE", "iconv -f utf-16be -t utf-8"),
    "png": (b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR", "byte 1 (0x89) is not UTF-8: this is a PNG image, not text", None),
    "binary": (b"\1\2\xfd\xfe\xff", "byte 3 (0xfd) is not UTF-8: this is binary data, not text", None),
}


@pytest.mark.parametrize(("data", "words", "hint"), NOT_TEXT.values(), ids=NOT_TEXT)
def test_bytes_that_are_no_text(here: InProcess, data: bytes, words: str, hint: str | None) -> None:
    """Bytes that are no text are an error that names the first of them, and what they are; nothing is sent."""
    write_session("a", header())
    ways = {"standard input": here("send", "-s", "a", stdin=data)}
    if b"\0" not in data:
        ways["the message"] = here("send", "-s", "a", data)
    for name, done in ways.items():
        assert_told(done, 65, f"{name}: ", words, **({"hint": hint} if hint else {}))
        assert hint or "hint:" not in done.err
    assert len(here.records("a")) == 1


@pytest.mark.parametrize("stdin", [None, "", " \n\t", "\n\n", "\u3000\u2028"], ids=ascii)
def test_an_empty_message(here: InProcess, stdin: str | None) -> None:
    """Nothing, or nothing but blanks, is no message: 2, nothing sent; with --skip-empty 0, nothing sent."""
    write_session("a", header())
    hint = "--skip-empty" if stdin is not None else 'run gemcli send -s a "your message"'
    assert_told(here("send", "-s", "a", stdin=stdin), 2, "there is no message", hint=hint)
    skipped = here("send", "-s", "a", "--skip-empty", stdin=stdin)
    assert (skipped.status, skipped.out, skipped.err) == (0, "", "")
    for unset in ("", "  "):  # as from an unset variable
        assert_told(here("send", "-s", "a", unset), 2, "there is no message")
    assert len(here.records("a")) == 1


def test_a_huge_message(gemcli: Gemcli, model: Model) -> None:
    """20 MB arrive whole, with a note that the API may refuse them, and are in the session whole."""
    model.script({"candidates": [{"content": {"parts": [{"text": "ok"}]}, "finishReason": "STOP"}]})
    text = "0123456789abcdef" * (20 * 65536)
    done = gemcli("send", "-s", "a", "--create", "--text", stdin=text, env=model.env)
    assert (done.status, done.out) == (0, "ok\n")
    assert done.err == "gemcli: note: this message has 20,971,520 characters; the API may refuse it\n"
    assert model.requests[0]["contents"][0]["parts"][0]["text"] == text
    assert gemcli.records("a")[1]["content"]["parts"][0]["text"] == text


# Files that options name


HISTORIES: dict[str, tuple[bytes, tuple[str, ...]]] = {
    "cut": (b"[1,", ("is not JSON",)),
    "duplicate-key": (b'[{"role":"user","role":"model"}]', ('"role"',)),
    "deep": (b"[" * 300 + b"]" * 300, ("200 levels",)),
    "not-utf-8": (b"\xff", ("byte 1 (0xff) is not UTF-8",)),
    "nul": (b'[{"role":"user","parts":[{"text":"a\\u0000\0b"}]}]', ("is NUL",)),
    "no-json": (b'hello\n{"role":"user"}\n{"a":NaN}\n', ("neither a JSON list nor JSON Lines", "line 1: ", "line 3: ")),
    "broken-session": (SESSIONS["bad-line"][0], ("line 3",)),
}


@pytest.mark.parametrize(("data", "words"), HISTORIES.values(), ids=HISTORIES)
def test_a_history_that_cannot_be_read(here: InProcess, data: bytes, words: tuple[str, ...]) -> None:
    """A history that cannot be kept value for value is refused with its name and line, and no session is made."""
    (here.directory / "h.json").write_bytes(data)
    done = here("new", "-s", "a", "--history", "h.json")
    assert_told(done, 65, "h.json", *words)
    assert "line 2" not in done.err
    assert not here.session("a").exists()


@pytest.mark.parametrize("option", ["--history", "--config", "--system"])
def test_a_missing_file(here: InProcess, option: str) -> None:
    """A file that an option names and that is not there is 66 with its name; `test_hostile` has other kinds."""
    value = "@no where" if option == "--system" else "no where"
    assert_told(here("new", "-s", "a", option, value), 66, "there is no file no where")
    assert not here.session("a").exists()


CONFIGS: dict[str, tuple[str, list[str]]] = {
    "key": ("temprature: 1\n", ["c.yaml:1:1: `temprature`", "did you mean `temperature`?"]),
    "refused": ("http_options: {}\n", ["`http_options`", "--timeout"]),
    "value": ("temperature: warm\n", ["c.yaml:1:14: `temperature` must be a number from 0 to 2"]),
    "tag": ("temperature: !!python/object/apply:os.system ['id']\n", ["c.yaml:1:", "[yaml-tag]"]),
    "anchor": ("stop_sequences: &a [x]\nlabels: *a\n", ["c.yaml:1:", "[yaml-anchor]"]),
    "syntax": ("temperature: [1\n", ["[yaml-syntax]"]),
    "two-documents": ("top_k: 1\n---\ntop_k: 2\n", ["[yaml-document]"]),
    "bomb": (
        "a0: &a0 [x]\n" + "".join(f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]\n" for n in range(1, 30)),
        ["[yaml-anchor]"],
    ),
    "three": ("top_k: a\nnope: 1\ntemperature: b\n", ["c.yaml:1:", "c.yaml:2:", "c.yaml:3:"]),
}


@pytest.mark.parametrize(("text", "words"), CONFIGS.values(), ids=CONFIGS)
def test_a_config_file_with_a_fault(here: InProcess, text: str, words: list[str]) -> None:
    """Every fault of a config file is told with line, column and what was meant: 2, and no session is made."""
    (here.directory / "c.yaml").write_text(text)
    assert_told(here("new", "-s", "a", "--config", "c.yaml"), 2, "c.yaml: ", *words)
    assert not here.session("a").exists()


OPTIONS: dict[str, tuple[list[str], str]] = {
    "value": (["--temperature", "warm"], "`--temperature` must be a number from 0 to 2"),
    "empty": (["--system", ""], "`--system"),
    "half": (["--safety", "harassment"], "`--safety"),
    "two": (["--thinking-level", "low", "--thinking-budget", "1"], "`--thinking-level`"),
    "no-model": (["--model", ""], "is not a model name"),
}


@pytest.mark.parametrize(("options", "words"), OPTIONS.values(), ids=OPTIONS)
def test_an_option_with_a_wrong_value(here: InProcess, options: list[str], words: str) -> None:
    """A setting with a wrong value is 2 and named as it was typed, for `new` and for `send`."""
    write_session("b", header())
    assert_told(here("new", "-s", "a", *options), 2, words)
    assert_told(here("send", "-s", "b", "x", *options), 2, words)
    assert len(here.records("b")) == 1


def test_a_value_outside_todays_limits_is_noted(here: InProcess) -> None:
    """The API may accept what the table does not know: it goes out as given, and each command says so once."""
    note = "gemcli: note: `--temperature` should be a number from 0 to 2, not 3; it is sent as given [range]\n"
    created = here("new", "-s", "a", "--model", ECHO, "--temperature", "3")
    assert (created.status, created.err) == (0, note)
    assert here.records("a")[0]["config"] == {"generationConfig": {"temperature": 3.0}}
    sent = here("send", "-s", "a", "x", "--thinking-level", "ultra")
    assert sent.err.startswith("gemcli: note: `--thinking-level` should be a thinking level")
    assert here.records("a")[1]["config"] == {"generationConfig": {"thinkingConfig": {"thinkingLevel": "ultra"}}}
    (here.directory / "s.yaml").write_text("config: {top_k: 0}\nturns: [a]\n")
    played = here("replay", "s.yaml", "-s", "c", "--model", ECHO)
    assert "s.yaml:1:17: `top_k` should be a whole number of at least 1, not 0" in played.err
    assert here.records("c")[0]["config"] == {"generationConfig": {"topK": 0}}


# Keys, models, endpoints

BAD_MODELS = [
    *("..", "../x", "a/../b", "a?b", "a#b", "a b", "a\nb", "a\r\nHost: b", "a:b", "a%2fb", "/a", "a/", "é", "a" * 300),
]


@pytest.mark.parametrize("name", BAD_MODELS, ids=ascii)
def test_a_model_name_that_would_change_the_url(here: InProcess, model: Model, name: str) -> None:
    """A model name that is none is 2 for `new`, for `send` and in GEMCLI_MODEL, and nothing is sent or made."""
    write_session("b", header())
    assert_told(here("new", "-s", "a", "--model", name), 2, "is not a model name", hint="letters, digits")
    assert_told(here("send", "-s", "b", "x", "--model", name), 2, "is not a model name")
    for command in (["new"], ["send", "--create", "hi"]):
        done = here.failed(command[0], "-s", "a", *command[1:], env={"GEMCLI_MODEL": name})
        assert (done.status, done.error["reason"]) == (2, "MODEL_NAME")
    assert not here.session("a").exists()
    assert (len(here.records("b")), model.requests) == (1, [])


BAD_URLS = [
    *("http://example.org", "http://127.0.0.1.evil.org", "http://127.0.0.1@example.org", "http://", "http://["),
    *("https://", "ftp://127.0.0.1", "example.org", "nonsense"),
]


@pytest.mark.parametrize("url", BAD_URLS)
def test_a_base_url_that_is_not_safe(here: InProcess, model: Model, url: str) -> None:
    """A base URL that would send the key in the clear, or that is none, is 78; nothing is written or sent."""
    here.ok("new", "-s", "a")
    proxied: dict[str, Any] = {"GOOGLE_GEMINI_BASE_URL": url, "HTTP_PROXY": model.url}
    assert_told(here("send", "-s", "a", "x", env=proxied), 78, "GOOGLE_GEMINI_BASE_URL", hint="https")
    assert (len(here.records("a")), model.targets) == (1, [])


# Words


PYTHONS = re.compile(
    r"None(Type)?\b|Expecting|Unterminated|Extra data|Errno|codec|invalid literal|Traceback|char \d|"
    r"object is not|unhashable|expected <|Error:|\bstr\b|\bdict\b|\bint\b|report this bug"
)
"""Words that Python has for things, and nobody else."""

ODD_FILES = (
    *(b"", b"{", b"null", b"[null]", b"[1]", b'"x', b'{"a":NaN}', b"[[[[", b"\xff\xfe", b"\xc3", b"a\0b", b"- \t- x"),
    *(b"a: [1", b"a: *x", b"a: \t1", b"? [a]: 1", b"turns: null", b"turns: [null]", b"- user: null", b"rules: null"),
    *(b"rules: [{answer: null}]", b"temperature: null", b"stop_sequences: null", b"tools: [null]", b"9" * 5000),
    *(
        b'[{"role":"user","parts":null}]',
        b'[{"role":null,"parts":[{"text":"x"}]}]',
        b'[{"role":"user","parts":[null]}]',
    ),
    *(b'{"kind":"session"}', b'{"kind":null}', b"- user: hi\n  expect: {matches: '('}", b"- user: hi\n  expect: null"),
    *(b"- user: hi\n  expect: {latency_ms: null}", b"model: null\nturns: [a]", b"vars: null\nturns: [a]"),
)

ODD_COMMANDS = (
    "new -s n --force --history ./odd",
    "new -s n --force --config ./odd",
    "new -s n --force --system @./odd",
    "new -s n --force --from ./odd",
    "send -s s hi --dry-run --config ./odd",
    "send -s ./odd hi",
    "send -s s hi --dry-run --model simulator/rules:./odd",
    "history -s ./odd",
    "replay ./odd --dry-run --model simulator/echo",
    "replay ./odd/x --dry-run",
    "export markdown -s ./odd",
)


@pytest.mark.parametrize("command", ODD_COMMANDS)
def test_no_words_of_python(here: InProcess, monkeypatch: pytest.MonkeyPatch, command: str) -> None:
    """Whatever is in a file, what is told of it is told in words of the file, not of the program that reads it."""
    monkeypatch.setattr(store, "PAUSE", 0)
    write_session("s", header())
    for data in ODD_FILES:
        (here.directory / "odd").write_bytes(data)
        done = here(*command.split(), stdin=b"")
        assert not PYTHONS.search(done.err), (data, done.err)
        assert done.status != 70
