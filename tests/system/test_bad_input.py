"""Bad input, by name: what each kind of wrong session, message, history, config, key or model comes to.

Each time: the exact status, what and where in the message, what next in the hint, and no harm to the session.
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

from gemcli.errors import GemcliError
from gemcli.sessions.names import session_path
from tests.commands import ECHO, asked, header, told, turn, write
from tests.support import Done, Gemcli, InProcess, Model, contents, json_reply


def assert_told(done: Done, status: int, *words: str, hint: str | None = None) -> None:
    """The run failed with this status, printed nothing, and said these words and this hint on stderr."""
    assert done.status == status, done.err
    assert done.out == ""
    assert "Traceback" not in done.err
    for word in words:
        assert word in done.err
    if hint is not None:
        assert hint in done.err.partition("hint: ")[2]


def bad_session(name: str) -> bytes:
    """The bytes of a file that is no session, or a broken one."""
    good = [json.dumps(record).encode() for record in [header(), *turn(1), *turn(2)]]
    samples = {
        "empty": b"",
        "only-newlines": b"\n\n",
        "bad-line": b"\n".join([*good[:2], b'{"kind":"respo', *good[3:]]) + b"\n",
        "bad-record": b"\n".join([*good[:2], b'{"kind":"response"}', *good[3:]]) + b"\n",
        "doubled-turn": b"\n".join([*good, *good[1:3]]) + b"\n",
        "two-sessions": b"\n".join([*good, *good]) + b"\n",
        "newer-format": good[0].replace(b'"format": 1', b'"format": 99') + b"\n",
        "newer-record": b"\n".join([*good, b'{"kind":"branch","time":"2099-01-01T00:00:00Z"}']) + b"\n",
        "other-jsonl": b'{"role":"user","content":"hi"}\n{"role":"assistant","content":"hello"}\n',
        "a-list": b'[{"role":"user","parts":[{"text":"hi"}]}]\n',
        "a-number": b"1\n",
        "png": b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR" + bytes(range(256)),
        "random": bytes((each * 7919 + 13) % 251 for each in range(5000)),
        "utf-16": "\ufeff".encode("utf-16-le") + good[0].decode().encode("utf-16-le"),
        "nested": b"[" * 100_000 + b"\n",
        "endless-number": b'{"kind":' + b"9" * 10_000 + b"}\n",
    }
    return samples[name]


SESSIONS = [
    ("empty", "is empty", "gemcli new --force"),
    ("only-newlines", "is empty", "gemcli new --force"),
    ("bad-line", "line 3: ", "restore the line from a backup"),
    ("bad-record", "line 3: a response record", ""),
    ("doubled-turn", "line 6: turn 1 is repeated", ""),
    ("two-sessions", "line 6: a second session record", ""),
    ("newer-format", "line 1: format 99 is newer than 1", "upgrade gemcli"),
    ("newer-record", "line 6: records of kind 'branch' are not known", "upgrade gemcli"),
    ("other-jsonl", "line 1: not a record", ""),
    ("a-list", "line 1: ", ""),
    ("a-number", "line 1: ", ""),
    ("png", "line 1: ", ""),
    ("random", "line 1: ", ""),
    ("utf-16", "line 1: ", ""),
    ("nested", "line 1: ", ""),
    ("endless-number", "line 1: ", ""),
]


@pytest.mark.parametrize(("name", "words", "hint"), SESSIONS, ids=[name for name, *_ in SESSIONS])
def test_a_file_that_is_no_good_session(gemcli: Gemcli, name: str, words: str, hint: str) -> None:
    """A corrupt, foreign or newer file is 65 for readers and writers, told by line, and not changed by a byte."""
    path = gemcli.directory / "s.jsonl"
    data = bad_session(name)
    path.write_bytes(data)
    for command in (["history"], ["rewind"], ["send", "hi"]):
        done = gemcli(command[0], "-s", "s.jsonl", *command[1:], timeout=20)
        assert_told(done, 65, "s.jsonl", words, hint=hint)
        assert done.err.count("\n") <= 2
    assert path.read_bytes() == data
    assert sorted(os.listdir(gemcli.directory)) == ["s.jsonl"]


@pytest.mark.parametrize("name", ["bad-line", "bad-record", "doubled-turn", "two-sessions"])
def test_the_hint_for_a_damaged_session(gemcli: Gemcli, name: str) -> None:
    """A damaged session comes with what to do about it: the command in the hint makes a session that loads."""
    (gemcli.directory / "s.jsonl").write_bytes(bad_session(name))
    done = gemcli("history", "-s", "s.jsonl")
    (command,) = re.findall(r"hint: .*: (head -n .*)\n", done.err)
    subprocess.run(["/bin/sh", "-c", command], cwd=gemcli.directory, timeout=20, check=True)
    assert gemcli("history", "-s", "whole.jsonl", "--check").status == 0


@pytest.mark.parametrize("name", ["other-jsonl", "png"])
def test_no_such_hint_for_a_foreign_file(here: InProcess, name: str) -> None:
    """Of a file that never was a session nothing is to be cut off."""
    (here.directory / "s.jsonl").write_bytes(bad_session(name))
    assert "head" not in here("history", "-s", "s.jsonl").err


SPECIAL: dict[str, Callable[[Path], None]] = {
    "directory": lambda path: path.mkdir(),
    "fifo": lambda path: os.mkfifo(path),
    "dev-zero": lambda path: path.symlink_to("/dev/zero"),
    "dev-null": lambda path: path.symlink_to("/dev/null"),
    "loop": lambda path: path.symlink_to(path),
}


@pytest.mark.parametrize("kind", SPECIAL)
def test_what_is_no_plain_file(gemcli: Gemcli, kind: str) -> None:
    """A directory, FIFO, device or loop of links is told to be no session by every command, and never waited for."""
    path = gemcli.directory / "s.jsonl"
    SPECIAL[kind](path)
    before = stat.S_IFMT(path.lstat().st_mode)
    commands = [["history"], ["rewind"], ["send", "hi"], ["new", "--force"], ["send", "--create", "hi"]]
    for command in commands:
        done = gemcli(command[0], "-s", "s.jsonl", *command[1:], timeout=20)
        assert_told(done, 65, "is not a regular file, so it is not a session")
    assert_told(gemcli("new", "-s", "s.jsonl", timeout=20), 73, "already exists")
    assert_told(gemcli("new", "-s", "x", "--from", "s.jsonl", timeout=20), 65, "no session")
    assert stat.S_IFMT(path.lstat().st_mode) == before
    assert os.listdir(gemcli.directory) == ["s.jsonl"]


def test_a_path_below_a_file(here: InProcess) -> None:
    """A path that goes through a plain file is an error that names it."""
    (here.directory / "file").write_text("")
    for command in (["history"], ["send", "hi"]):
        done = here(command[0], "-s", "file/s", *command[1:])
        assert done.status in (65, 66)
        assert "file/s" in done.err
    assert here("new", "-s", "file/s").status in (66, 74)


@pytest.mark.parametrize(
    "command", [["history"], ["history", "--path"], ["rewind"], ["send", "hi"], ["export", "script"]]
)
@pytest.mark.parametrize("session", ["nope", "./no where.jsonl"])
def test_a_missing_session(here: InProcess, command: list[str], session: str) -> None:
    """A missing session is 66 with the exact command that makes it, which does; nothing is made before."""
    done = here(*command, "-s", session)
    assert_told(done, 66, "there is no session at")
    made = re.findall(r"hint: make it: gemcli new -s (.*)\n", done.err)
    assert made == [session if " " not in session else f"'{session}'"]
    assert os.listdir(here.directory) == []
    assert not here.session(session).exists()
    assert here("new", "-s", session).status == 0
    assert here("history", "-s", session).status == 0


def test_a_directory_that_is_missing(here: InProcess) -> None:
    """A session at a path is not made together with its directory: a typo would go unseen."""
    done = here("new", "-s", "no/where")
    assert_told(done, 66, "no does not exist", hint="mkdir -p ")


@pytest.mark.parametrize("name", ["a/..", "..", "a/../..", "./"])
def test_a_path_that_ends_in_a_directory(gemcli: Gemcli, name: str) -> None:
    """A name that leads to a directory is refused, and nothing is made there."""
    (gemcli.directory / "a").mkdir()
    done = gemcli("new", "-s", name, "--force", timeout=20)
    assert done.status in (2, 65)
    assert "Traceback" not in done.err
    assert os.listdir(gemcli.directory) == ["a"]


def test_two_new_at_once(gemcli: Gemcli) -> None:
    """Of two `new` of one session at the same time one makes it, and the other is told that it exists."""
    racing = [gemcli.start("new", "-s", "a", "--model", f"simulator/{number}") for number in range(4)]
    ended = [(process, *process.communicate(timeout=30)) for process in racing]
    assert sorted(process.returncode for process, *_ in ended) == [0, 73, 73, 73]
    winner = next(json.loads(out) for process, out, _ in ended if process.returncode == 0)
    assert [record["model"] for record in gemcli.records("a")] == [winner["model"]]
    assert os.listdir(gemcli.session("a").parent) == ["a.jsonl"]


# Messages


def test_an_argument_that_is_no_text(gemcli: Gemcli) -> None:
    """Bytes that are not UTF-8 in MESSAGE are an error that names the byte; nothing is sent."""
    write("a", header())
    done = gemcli("send", "-s", "a", b"gr\xfc\xdfe")
    assert_told(done, 65, "the message: byte 3 (0xfc) is not UTF-8", hint="iconv -f latin1 -t utf-8")
    assert len(gemcli.records("a")) == 1


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"gr\xfc\xdfe", "standard input: byte 3 (0xfc) is not UTF-8"),
        (b"cut \xe2\x82", "standard input: byte 5 (0xe2) is not UTF-8"),
        (b"\xed\xa0\x80", "standard input: byte 1 (0xed) is not UTF-8"),
        ("über".encode() + b"\0", "standard input: byte 6 is NUL"),
        (b"\xff\xfeh\0i\0", "standard input: byte 1 (0xff) is not UTF-8"),
    ],
    ids=["latin1", "cut", "surrogate", "nul", "utf-16"],
)
def test_stdin_that_is_no_text(gemcli: Gemcli, data: bytes, words: str) -> None:
    """Bytes on stdin that are no text are an error that names the first of them; nothing is sent."""
    write("a", header())
    assert_told(gemcli("send", "-s", "a", stdin=data), 65, words)
    assert len(gemcli.records("a")) == 1


@pytest.mark.parametrize("stdin", [None, "", " \n\t", "\n\n", "\u3000\u2028"], ids=ascii)
def test_an_empty_message(gemcli: Gemcli, stdin: str | None) -> None:
    """Nothing, or nothing but blanks, is no message: 2, nothing sent; with --skip-empty 0, nothing sent."""
    write("a", header())
    done = gemcli("send", "-s", "a", stdin=stdin)
    assert_told(done, 2, "there is no message", hint="--skip-empty")
    skipped = gemcli("send", "-s", "a", "--skip-empty", stdin=stdin)
    assert (skipped.status, skipped.out, skipped.err) == (0, "", "")
    assert len(gemcli.records("a")) == 1


def test_an_empty_argument(here: InProcess) -> None:
    """An empty MESSAGE, as from an unset variable, does not make stdin the message silently when there is none."""
    write("a", header())
    assert_told(here("send", "-s", "a", ""), 2, "there is no message")
    assert_told(here("send", "-s", "a", "  "), 2, "there is no message")
    assert len(here.records("a")) == 1


def test_every_character_of_ascii(gemcli: Gemcli) -> None:
    """Every ASCII character but NUL goes in by stdin and comes out of the session as it was."""
    write("a", header())
    text = bytes(range(1, 128))
    assert gemcli("send", "-s", "a", stdin=text).status == 0
    assert gemcli("history", "-s", "a", "--last").json["user"].encode() == text
    assert text in gemcli("history", "-s", "a", "--text").bytes


@pytest.mark.parametrize("byte", [0, 0x80, 0xC0, 0xFE, 0xFF], ids=hex)
def test_a_single_byte_that_is_no_text(gemcli: Gemcli, byte: int) -> None:
    """One byte alone that is no text is told by its place and value."""
    write("a", header())
    what = "is NUL" if byte == 0 else f"(0x{byte:02x}) is not UTF-8"
    assert_told(gemcli("send", "-s", "a", stdin=bytes([byte])), 65, f"standard input: byte 1 {what}")


def test_nul_in_the_environment_cannot_be(gemcli: Gemcli) -> None:
    """A name with NUL cannot come from outside; asked for inside the program it is a usage error."""
    with pytest.raises(GemcliError, match="NUL") as caught:
        session_path("a\0b", {})
    assert caught.value.exit == 2


def test_a_huge_message(gemcli: Gemcli, model: Model) -> None:
    """20 MB arrive whole, with a note that the API may refuse them, and are in the session whole."""
    model.script({"candidates": [{"content": {"parts": [{"text": "ok"}]}, "finishReason": "STOP"}]})
    text = "0123456789abcdef" * (20 * 65536)
    assert gemcli("new", "-s", "a", env=model.env).status == 0
    done = gemcli("send", "-s", "a", "--text", stdin=text, env=model.env)
    assert (done.status, done.out) == (0, "ok\n")
    assert done.err == "gemcli: note: this message has 20,971,520 characters; the API may refuse it\n"
    assert model.requests[0]["contents"][0]["parts"][0]["text"] == text
    assert gemcli.records("a")[1]["content"]["parts"][0]["text"] == text


# Histories

BROKEN: list[tuple[str, Any, str]] = [
    ("role", {"role": "assistant", "parts": [{"text": "x"}]}, 'the Gemini API calls this role "model"'),
    ("role", {"role": "system", "parts": [{"text": "x"}]}, "gemcli new --system"),
    ("role", {"role": "tool", "parts": [{"text": "x"}]}, 'function responses have the role "user"'),
    ("role", {"role": "function", "parts": [{"text": "x"}]}, 'function responses have the role "user"'),
    ("role", {"role": "Model", "parts": [{"text": "x"}]}, "role is user or model"),
    ("role", {"parts": [{"text": "x"}]}, 'add "role": "user" or "role": "model"'),
    ("shape", {"role": "model", "content": "x"}, 'write "parts": [{"text": "…"}]'),
    ("shape", {"role": "model", "parts": ["x"]}, 'write {"text": "…"}'),
    ("shape", {"role": "model", "parts": [{"text": 3}]}, "`text` is a number"),
    ("shape", "x", "not an object but text"),
    ("no-parts", {"role": "model", "parts": []}, "there are no parts"),
    ("blank-part", {"role": "model", "parts": [{}, {"text": "x"}]}, "part 0 is empty"),
    ("response-role", {"role": "model", "parts": [{"functionResponse": {"name": "f", "response": {}}}]}, "part 0"),
    ("answer", {"role": "model", "parts": [{"text": "x", "thought": True}]}, "leave this turn out"),
    ("base64", {"role": "model", "parts": [{"inlineData": {"mimeType": "image/png", "data": "é"}}]}, "not base64"),
    ("base64", {"role": "model", "parts": [{"text": "x", "thoughtSignature": "*"}]}, "not base64"),
    ("alternate", {"role": "user", "parts": [{"text": "x"}]}, "join them into one"),
]


@pytest.mark.parametrize(
    ("rule", "content", "words"), BROKEN, ids=[f"{rule}-{number}" for number, (rule, *_) in enumerate(BROKEN)]
)
def test_one_broken_content(here: InProcess, rule: str, content: Any, words: str) -> None:
    """A Content that breaks a rule is named by its place, with the rule and what to do, and no session is made."""
    history = [contents("q")[0], content, *contents("q", "a")]
    (here.directory / "h.json").write_text(json.dumps(history))
    done = here("new", "-s", "a", "--history", "h.json")
    assert_told(done, 65, "h.json is not a history the API would accept", "content 1: ", f"[{rule}]", words)
    assert not here.session("a").exists()


USER_BROKEN: list[tuple[str, list[Any], str]] = [
    ("first", contents("a", "b")[1:] + contents("a", "b"), "content 0: the history starts with a model Content"),
    ("blank-text", contents("", "b"), "content 0: part 0 is empty text"),
    (
        "call-role",
        [{"role": "user", "parts": [{"functionCall": {"name": "f"}}]}, contents("a", "b")[1]],
        "content 0: part 0 is a functionCall in a user Content",
    ),
    (
        "calls-answered",
        [contents("q")[0], {"role": "model", "parts": [{"functionCall": {"name": "f"}}]}, *contents("a", "b")],
        "content 2: no functionResponse for f",
    ),
    (
        "response-object",
        [
            contents("q")[0],
            {"role": "model", "parts": [{"functionCall": {"name": "f"}}]},
            {"role": "user", "parts": [{"functionResponse": {"name": "f", "response": 3}}]},
            contents("a", "b")[1],
        ],
        "content 2: part 0: the response is a number",
    ),
    ("unanswered", contents("a", "b", "c"), "content 2: the history ends with a user Content that has no answer"),
]


@pytest.mark.parametrize(("rule", "history", "words"), USER_BROKEN, ids=[rule for rule, *_ in USER_BROKEN])
def test_one_broken_order(here: InProcess, rule: str, history: list[Any], words: str) -> None:
    """A history whose Contents do not fit together is named by the place where they do not."""
    (here.directory / "h.json").write_text(json.dumps(history))
    done = here("new", "-s", "a", "--history", "h.json", "--errors", "json")
    assert done.status == 65
    assert [problem["rule"] for problem in done.error["problems"]] == [rule]
    text = here("new", "-s", "a", "--history", "h.json").err
    assert words in text
    assert not here.session("a").exists()


def test_every_breach_at_once_with_its_line(here: InProcess) -> None:
    """All that is wrong with a history in JSON Lines is told at once, each with the line that it stands in."""
    history = [
        contents("", "b")[0],  # line 1: blank-text
        {"role": "assistant", "parts": [{"text": "x"}]},  # line 3: role
        {"role": "user", "parts": []},  # line 4: no-parts
        {"role": "model", "parts": "x"},  # line 5: shape
        *contents("q", "a"),
        {"role": "model", "parts": [{"text": "x"}]},  # line 8: alternate
        contents("q")[0],  # line 9: unanswered
    ]
    lines = [json.dumps(content) for content in history]
    (here.directory / "h.jsonl").write_text("\n".join([lines[0], "", *lines[1:]]) + "\n")
    done = here("new", "-s", "a", "--history", "h.jsonl", "--errors", "json")
    assert done.status == 65
    found = [(problem["line"], problem["rule"]) for problem in done.error["problems"]]
    expected = [(1, "blank-text"), (3, "role"), (4, "no-parts"), (5, "shape"), (8, "alternate"), (9, "unanswered")]
    assert found == expected


def test_a_history_that_is_no_json(here: InProcess) -> None:
    """Text that is neither a JSON list nor JSON Lines is told so, with every line that cannot be read."""
    (here.directory / "h.txt").write_text("hello\n" + json.dumps(contents("a")[0]) + '\n{"a":NaN}\n')
    done = here("new", "-s", "a", "--history", "h.txt")
    assert_told(done, 65, "h.txt is neither a JSON list nor JSON Lines", "line 1: ", "line 3: ")
    assert "line 2" not in done.err


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"[1,", "is not JSON"),
        (b'[{"role":"user","role":"model"}]', 'duplicate key "role"'),
        (b"[NaN]", "NaN is not JSON"),
        (b"[" * 300 + b"]" * 300, "nested more than 200 levels deep"),
        (b"[" * 100_000, "nested too deeply"),
        (b"\xff", "h.json: byte 1 (0xff) is not UTF-8"),
        (b'[{"role":"user","parts":[{"text":"a\\u0000\0b"}]}]', "is NUL"),
    ],
    ids=["cut", "duplicate-key", "nan", "deep", "very-deep", "not-utf-8", "nul"],
)
def test_a_history_that_is_hostile_json(here: InProcess, data: bytes, words: str) -> None:
    """JSON that cannot be kept value for value is refused with the file's name, and no session is made."""
    (here.directory / "h.json").write_bytes(data)
    assert_told(here("new", "-s", "a", "--history", "h.json"), 65, "h.json", words)
    assert not here.session("a").exists()


def test_a_history_file_that_is_a_broken_session(here: InProcess) -> None:
    """A session file given as a history is named with the line that is broken, as any session is."""
    (here.directory / "h.jsonl").write_bytes(bad_session("bad-line"))
    assert_told(here("new", "-s", "a", "--history", "h.jsonl"), 65, "h.jsonl: line 3")


@pytest.mark.parametrize("option", ["--history", "--config", "--system"])
def test_a_missing_file(here: InProcess, option: str) -> None:
    """A file that an option names and that is not there is 66 with its name."""
    value = "@no where" if option == "--system" else "no where"
    assert_told(here("new", "-s", "a", option, value), 66, "there is no file no where")
    assert not here.session("a").exists()


@pytest.mark.parametrize("option", ["--history", "--config", "--system"])
def test_a_directory_as_a_file(here: InProcess, option: str) -> None:
    """A directory where a file is expected cannot be read, and is named."""
    (here.directory / "d").mkdir()
    done = here("new", "-s", "a", option, "@d" if option == "--system" else "d")
    assert_told(done, 74, "cannot read d: Is a directory")


@pytest.mark.slow
def test_a_file_without_end(gemcli: Gemcli) -> None:
    """A device that never ends is given up after a while, as too large."""
    assert_told(gemcli("new", "-s", "a", "--config", "/dev/zero", timeout=40), 65, "/dev/zero is larger than")


# Configs

CONFIGS: list[tuple[str, str, list[str]]] = [
    (
        "unknown-key",
        "temprature: 1\n",
        ["line 1, column 1: `temprature` is not a key of the config", "did you mean `temperature`?"],
    ),
    ("option-name", "stop: [END]\n", ["`stop` is not a key of the config", "did you mean `stop_sequences`?"]),
    ("refused-key", "http_options: {}\n", ["`http_options` is not a key of the config", "--timeout"]),
    ("misplaced", "model: m\n", ["`model` is not a key of the config", "--model"]),
    ("tag", "temperature: !!python/object/apply:os.system ['id']\n", ["line 1", "[yaml-tag]"]),
    ("anchor", "stop_sequences: &a [x]\nlabels: *a\n", ["line 1", "[yaml-anchor]"]),
    (
        "wrong-type",
        "temperature: warm\n",
        ['line 1, column 14: `temperature` must be a number from 0 to 2, not "warm"'],
    ),
    ("wrong-shape", "- temperature\n", ["must be a mapping, not a list"]),
    ("text", "hello\n", ['must be a mapping, not "hello"']),
    ("twice", "top_p: 1\ntopP: 1\n", ["line 2, column 1: `topP` and `top_p` are the same setting"]),
    (
        "exclusive",
        "thinking_config: {thinking_budget: 1, thinking_level: low}\n",
        ["`thinking_budget` and `thinking_level` exclude each other"],
    ),
    ("syntax", "temperature: [1\n", ["[yaml-syntax]"]),
    ("two-documents", "top_k: 1\n---\ntop_k: 2\n", ["[yaml-document]"]),
    ("deep", "tools: [{google_serch: {}}]\n", ["line 1, column 10", "did you mean `google_search`?"]),
]


@pytest.mark.parametrize(("text", "words"), [each[1:] for each in CONFIGS], ids=[each[0] for each in CONFIGS])
def test_a_config_file_with_a_fault(here: InProcess, text: str, words: list[str]) -> None:
    """A fault in a config file is 2, with file, line, column and what was meant; no session is made."""
    (here.directory / "c.yaml").write_text(text)
    assert_told(here("new", "-s", "a", "--config", "c.yaml"), 2, "c.yaml: ", *words)
    assert not here.session("a").exists()


def test_every_fault_of_a_config_at_once(here: InProcess) -> None:
    """All faults of a config file are told at once, in the order of its lines."""
    (here.directory / "c.yaml").write_text("top_k: a\nnope: 1\ntemperature: b\n")
    done = here("new", "-s", "a", "--config", "c.yaml", "--errors", "json")
    assert [problem["line"] for problem in done.error["problems"]] == [1, 2, 3]


def test_a_bomb_of_aliases(gemcli: Gemcli) -> None:
    """A config that would grow without end is refused at once."""
    levels = "".join(f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]\n" for n in range(1, 30))
    (gemcli.directory / "c.yaml").write_text("a0: &a0 [x]\n" + levels)
    assert_told(gemcli("new", "-s", "a", "--config", "c.yaml", timeout=20), 2, "[yaml-anchor]")


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--temperature", "warm"], "`--temperature` must be a number from 0 to 2"),
        (["--temperature", "nan"], "`--temperature` must be a number from 0 to 2"),
        (["--top-k", "1.5"], "`--top-k` must be a whole number"),
        (["--safety", "harassment"], "`--safety"),
        (["--stop", ""], "`--stop"),
        (["--thinking-level", ""], "`--thinking-level` must be a thinking level"),
        (["--thinking-level", "low", "--thinking-budget", "1"], "exclude each other"),
        (["--system", ""], "`--system"),
    ],
    ids=lambda value: "_".join(value) if isinstance(value, list) else "",
)
def test_an_option_with_a_wrong_value(here: InProcess, options: list[str], words: str) -> None:
    """A setting with a wrong value is 2 and named as it was typed, for `new` and for `send`."""
    write("b", header())
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


@pytest.mark.parametrize(
    ("env", "words"),
    [
        ({}, "neither GEMINI_API_KEY nor GOOGLE_API_KEY is set"),
        ({"GEMINI_API_KEY": ""}, "neither GEMINI_API_KEY nor GOOGLE_API_KEY is set"),
        ({"GEMINI_API_KEY": "secret with-blanks"}, "GEMINI_API_KEY holds characters that no key has"),
        ({"GOOGLE_API_KEY": "secret\n"}, "GOOGLE_API_KEY holds characters that no key has"),
        ({"GEMINI_API_KEY": "“secret”"}, "GEMINI_API_KEY holds characters that no key has"),
    ],
    ids=["none", "empty", "blank", "newline", "quotes"],
)
def test_no_usable_key(here: InProcess, env: dict[str, str], words: str) -> None:
    """Without a key that can be one, nothing is written or sent: 77; the key itself is never shown."""
    assert here("new", "-s", "a").status == 0
    done = here("send", "-s", "a", "x", env=env)
    assert_told(done, 77, words, hint="key")
    assert "secret" not in done.err
    assert len(here.records("a")) == 1


def test_a_key_that_the_api_refuses(gemcli: Gemcli, model: Model) -> None:
    """A key that the API does not know is 77; the turn has failed, and the session goes on with a good key."""
    refusal = {"code": 400, "message": "API key not valid: test-key.", "status": "INVALID_ARGUMENT"}
    model.script(json_reply({"error": refusal}, 400))
    assert gemcli("new", "-s", "a", env=model.env).status == 0
    done = gemcli("send", "-s", "a", "x", env=model.env)
    assert_told(done, 77, "API key not valid: [the key].", hint="set GEMINI_API_KEY")
    assert "test-key" not in gemcli.session("a").read_text()
    assert gemcli("send", "-s", "a", "again", env=model.env).json["turn"] == 2


def test_both_keys(here: InProcess, model: Model) -> None:
    """With both variables set GOOGLE_API_KEY is used, and a note says so; the same key twice is no news."""
    assert here("new", "-s", "a", env=model.env).status == 0
    done = here("send", "-s", "a", "--text", "x", env={**model.env, "GOOGLE_API_KEY": "other-key"})
    assert done.status == 0
    assert done.err == "gemcli: note: GOOGLE_API_KEY and GEMINI_API_KEY are both set: GOOGLE_API_KEY is used\n"
    assert {name.lower(): value for name, value in model.headers[0].items()}["x-goog-api-key"] == "other-key"
    assert here("send", "-s", "a", "x", env={**model.env, "GOOGLE_API_KEY": "test-key"}).err == ""


@pytest.mark.parametrize(
    "name", ["a?b", "a\nb", "../a", "a/../b", "a b", "a#b", "a%2fb", "/a", "a/", "é", "a" * 300], ids=ascii
)
def test_a_model_name_that_would_change_the_url(here: InProcess, name: str) -> None:
    """A model name that is none is 2 for `new`, for `send` and in GEMCLI_MODEL, and nothing is sent or made."""
    write("b", header())
    assert_told(here("new", "-s", "a", "--model", name), 2, "is not a model name", hint="letters, digits")
    assert_told(here("send", "-s", "b", "x", "--model", name), 2, "is not a model name")
    assert_told(here("new", "-s", "a", env={"GEMCLI_MODEL": name}), 2, "is not a model name")
    assert not here.session("a").exists()
    assert len(here.records("b")) == 1


@pytest.mark.parametrize("name", ["gemini-flash-latest", "tunedModels/a-b_c.9", "a@001", "publishers/google/models/x"])
def test_a_model_name(here: InProcess, name: str) -> None:
    """Names as the API has them are taken as they are."""
    assert here("new", "-s", "a", "--model", name).json["model"] == name


def test_an_empty_model_is_no_model(here: InProcess) -> None:
    """`--model ''`, as from an unset variable, is an error: silently taking another model costs money."""
    write("b", header())
    assert_told(here("new", "-s", "a", "--model", ""), 2, "is not a model name")
    assert_told(here("send", "-s", "b", "--model", "", "x"), 2, "is not a model name")


def test_a_model_that_does_not_exist(here: InProcess) -> None:
    """A model that the backend does not know is 78, and the session goes on with another."""
    assert here("new", "-s", "a", "--model", "simulator/nope").status == 0
    done = here("send", "-s", "a", "x")
    assert_told(done, 78, "simulator/nope is not found", hint="check the model's name")
    assert here("send", "-s", "a", "x", "--model", ECHO).status == 0


@pytest.mark.parametrize(
    "url", ["http://example.org", "ftp://127.0.0.1", "example.org", "http://127.0.0.1.evil.org", "http://[", "https://"]
)
def test_a_base_url_that_is_not_safe(here: InProcess, url: str) -> None:
    """A base URL that would send the key in the clear, or that is none, is 78 before anything is written."""
    assert here("new", "-s", "a").status == 0
    done = here("send", "-s", "a", "x", env={"GEMINI_API_KEY": "k", "GOOGLE_GEMINI_BASE_URL": url})
    assert_told(done, 78, "GOOGLE_GEMINI_BASE_URL", hint="https")
    assert len(here.records("a")) == 1


# What lies in a session that loads


def test_a_session_whose_config_the_api_would_refuse(here: InProcess) -> None:
    """A config that somebody wrote into a session by hand is found before anything is sent."""
    write("a", header(config={"generationConfig": {"temperature": "9"}, "nope": 1}))
    done = here("send", "-s", "a", "x")
    assert_told(done, 2, "`temperature` must be a number", "`nope` is not a key")
    assert len(here.records("a")) == 1


def test_a_session_whose_turn_order_is_broken(here: InProcess) -> None:
    """A session whose history the API would refuse is read, but nothing is sent or exported, and --check says why."""
    write("a", header(), asked(1, ""), told(1, "x"))
    assert here("history", "-s", "a").status == 0
    for command in (["history", "--check"], ["send", "hi"], ["export", "contents"], ["new", "--from", "a"]):
        session = "b" if command[0] == "new" else "a"
        done = here(command[0], "-s", session, *command[1:])
        assert_told(done, 65, "content 0: part 0 is empty text [blank-text]")
    assert len(here.records("a")) == 3
    assert here("rewind", "-s", "a").status == 0
    assert here("send", "-s", "a", "hi").status == 0
