"""The file of the API key: where it is, what it may be, and who may read it."""

from __future__ import annotations

import os
import shlex
from pathlib import Path

import pytest

from gemcli.api import key_file
from gemcli.api.credentials import gemini_key, hide_keys, holds_key
from gemcli.simulator.simulated_api import json_reply
from tests.builders import error_from
from tests.support import InProcess, Model

KEY = "the-key-of-the-file"


def written(path: Path, content: str | bytes, mode: int = 0o600) -> dict[str, str]:
    """The environment in which a file with this content holds the key."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    path.chmod(mode)
    return {"GEMINI_API_KEY_FILE": str(path)}


@pytest.mark.parametrize("content", [KEY, f"{KEY}\n", f"{KEY}\r\n", f"{KEY}\n\n"], ids=repr)
@pytest.mark.parametrize("mode", [0o600, 0o400])
def test_a_key_in_a_file(tmp_path: Path, content: str, mode: int) -> None:
    """It is used as it stands there, without the end of its line."""
    environ = written(tmp_path / "k", content, mode)
    assert gemini_key(environ, pytest.fail) == (KEY, str(tmp_path / "k"))


def test_where_the_file_is(own_world: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """In the configuration directory of the platform, or where the variable says; a crontab expands no `~`."""
    assert key_file.read({}) is None
    default = Path(key_file.default_path())
    assert default.is_relative_to(own_world)
    written(default, KEY)
    assert gemini_key({}, pytest.fail) == (KEY, str(default))
    assert gemini_key({"GEMINI_API_KEY_FILE": ""}, pytest.fail).text == KEY
    written(own_world / "mine", "mine")
    assert gemini_key({"GEMINI_API_KEY_FILE": "~/mine"}, pytest.fail).text == "mine"
    monkeypatch.setenv("XDG_CONFIG_HOME", str(own_world / "elsewhere"))
    assert error_from(gemini_key, {}, pytest.fail).reason == "NO_KEY"


def test_variables_come_first(tmp_path: Path) -> None:
    """A key in the environment is used, and the file is not even looked at."""
    environ = written(tmp_path / "k", KEY, 0o644)
    for name in ("GEMINI_API_KEY", "GOOGLE_API_KEY"):
        assert gemini_key({**environ, name: "mine"}, pytest.fail) == ("mine", name)


@pytest.mark.parametrize(
    ("content", "mode", "why"),
    [
        ("", 0o600, "is empty"),
        ("\n\n", 0o600, "is empty"),
        (KEY, 0o640, "can be read or changed by others"),
        (KEY, 0o604, "can be read or changed by others"),
        (KEY, 0o620, "can be read or changed by others"),
    ],
)
def test_files_that_are_refused(tmp_path: Path, content: str, mode: int, why: str) -> None:
    """What is no key, or is not private, is refused; the message names the file and not what is in it."""
    path = tmp_path / "a key"
    error = error_from(gemini_key, written(path, content, mode), pytest.fail)
    assert (error.reason, error.exit) == ("KEY_FILE", 77)
    assert error.message == f"the key's file {path} {why}"
    if "others" in why:
        command = shlex.split(str(error.hint).removeprefix("run "))
        assert command == ["chmod", "600", str(path)]


def test_what_is_no_file(tmp_path: Path) -> None:
    """A file that is missing, a directory, a device or a FIFO is an error at once; nothing waits for a writer."""
    os.mkfifo(tmp_path / "fifo", 0o600)
    (tmp_path / "loop").symlink_to(tmp_path / "loop")
    for name, why in (
        ("none", "cannot be read: No such file or directory"),
        ("", "is not a plain file"),
        ("fifo", "is not a plain file"),
        ("fifo/x", "cannot be read: Not a directory"),
        ("loop", "cannot be read: "),
        ("/dev/null", "is not a plain file"),
    ):
        path = os.path.join(tmp_path, name)
        error = error_from(gemini_key, {"GEMINI_API_KEY_FILE": path}, pytest.fail)
        assert (error.reason, why in error.message, path in error.message) == ("KEY_FILE", True, True), name


def test_a_key_that_no_header_can_hold(tmp_path: Path) -> None:
    """It is refused as one of the environment is, by the name of the file."""
    for content in ("a b", "\ufeffkey", "“key”", "a\rb", "one\ntwo\n"):
        error = error_from(gemini_key, written(tmp_path / "k", content), pytest.fail)
        assert (error.reason, error.message.startswith(str(tmp_path / "k"))) == ("BAD_KEY", True)


@pytest.mark.parametrize(
    "content", [f"GEMINI_API_KEY={KEY}", f'export GOOGLE_API_KEY="{KEY}"', f'"{KEY}"\n', f"'{KEY}'\n", '"']
)
def test_a_line_of_an_env_file(tmp_path: Path, content: str) -> None:
    """A name or quotes around the key are no part of it: they are refused, and nothing of them is shown."""
    error = error_from(gemini_key, written(tmp_path / "k", content), pytest.fail)
    assert (error.reason, error.hint) == ("BAD_KEY", "the file holds only the key, without quotes and NAME=")
    assert KEY not in error.message
    for key in ("abc==", "a'b", "sk-KEY-1="):
        assert gemini_key(written(tmp_path / "k", key), pytest.fail).text == key


def test_the_key_is_kept_secret(tmp_path: Path) -> None:
    """Where keys are hidden, that of the file is hidden too; a file that cannot be used holds none."""
    environ = written(tmp_path / "k", KEY)
    assert KEY not in hide_keys(f"it is {KEY}", environ)
    assert holds_key(KEY, environ)
    (tmp_path / "k").chmod(0o644)
    assert not holds_key(KEY, environ)


def test_a_message_is_sent_with_it(here: InProcess, model: Model, tmp_path: Path) -> None:
    """The file is as good as the variable, for `send` and `replay`; what the API says of the key names the file."""
    environ = {**model.env, "GEMINI_API_KEY": "", **written(tmp_path / "k", f"{KEY}\n")}
    (tmp_path / "s.yaml").write_text("- Hello\n")
    assert here("send", "-s", "a", "--create", "Hello", env=environ).status == 0
    assert here("replay", "s.yaml", "-s", "r", env=environ).status == 0
    assert [headers["x-goog-api-key"] for headers in model.headers] == [KEY, KEY]
    error = {"code": 401, "status": "UNAUTHENTICATED", "message": f"{KEY} is no key"}
    model.script(json_reply({"error": error}, 401))
    done = here("send", "-s", "a", "Hello", "--errors", "json", env=environ)
    assert (done.status, done.error["hint"]) == (77, f"put a valid key into {tmp_path / 'k'}")
    assert KEY not in done.err
    (tmp_path / "k").chmod(0o666)
    assert here("send", "-s", "a", "Hello", "--errors", "json", env=environ).error["reason"] == "KEY_FILE"
    assert here("send", "-s", "a", "Hello", "--dry-run", env=environ).status == 0
    assert len(model.requests) == 3
