"""What cron mails: the crontab of the README and the manual, each line run as cron runs it, tick after tick."""

from __future__ import annotations

import re
import subprocess
import threading
import time
from pathlib import Path

import pytest

from gemcli.simulator.simulated_api import Cut, Reply
from tests.builders import answer, api_error, quota_failure, unfinished
from tests.support import PROGRAM, Model

ROOT = Path(__file__).parents[2]
PAGES = {
    name: (ROOT / name).read_text(encoding="utf-8") for name in ("README.md", "man/gemcli.1.md", "man/gemcli-send.1.md")
}


def block(page: str, language: str, word: str) -> str:
    """The block of a page in this language that has the word."""
    found = re.findall(rf"^```{language}\n(.*?)^```$", PAGES[page], re.DOTALL | re.MULTILINE)
    (text,) = [one for one in found if word in one]
    return str(text)


NIGHTLY = block("README.md", "sh", "nightly.sh")
CRONTAB = block("README.md", "crontab", "nightly.sh")


NOVEL = block("man/gemcli-send.1.md", "crontab", "novel")


def test_the_manual_has_the_same() -> None:
    """What was tried is what is told, with or without the clone."""
    assert block("man/gemcli.1.md", "sh", "nightly.sh") == NIGHTLY
    assert block("man/gemcli.1.md", "crontab", "nightly.sh") == CRONTAB


class Cron:
    """A home with the files of the README; cron knows nothing else."""

    def __init__(self, home: Path, model: Model) -> None:
        self.home = home
        path = re.search("^PATH=(.*)$", CRONTAB, re.MULTILINE)
        assert path is not None
        assert path[1].startswith("/home/me/.local/bin:")
        self.env = {
            "HOME": str(home),
            "LOGNAME": "me",
            "SHELL": "/bin/sh",
            "PATH": path[1].replace("/home/me/.local/bin", str(Path(PROGRAM).parent)),
            "GOOGLE_GEMINI_BASE_URL": model.url,
            "GEMCLI_MODEL": "gemini-test",
            "GEMCLI_REPLAY_RETRIES": "0",
        }
        (home / "nightly.sh").write_text(NIGHTLY)
        self.play("- Hello\n- Bye\n")
        key = home / ".config" / "gemcli" / "api-key"
        key.parent.mkdir(parents=True)
        key.write_text("key-for-cron\n")
        key.chmod(0o600)

    def play(self, script: str) -> None:
        """Let this be nightly.yaml."""
        (self.home / "nightly.yaml").write_text(script)

    def start(self, word: str) -> subprocess.Popen[str]:
        """Start the line of the crontab that has the word."""
        (line,) = [line for line in (CRONTAB + NOVEL).splitlines() if word in line]
        command = re.sub(r"^([-*/\d]+ +){5}", "", line)
        assert command != line
        return subprocess.Popen(
            ["/bin/sh", "-c", command.replace(r"\%", "%")],
            cwd=self.home,
            env=self.env,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            encoding="utf-8",
        )

    def mail(self, word: str = "nightly.sh") -> str:
        """What cron mails of one tick."""
        return self.start(word).communicate(timeout=60)[0]

    def night(self, ticks: int = 2) -> list[str]:
        """What cron mails of several ticks."""
        return [self.mail() for _ in range(ticks)]


@pytest.fixture
def cron(own_world: Path, model: Model) -> Cron:
    """Cron, before the first tick."""
    return Cron(own_world, model)


def daily_quota(seconds: float) -> Reply:
    """No more today; the API names a time all the same, and each time another."""
    message = f"You exceeded your quota.\nPlease retry in {seconds}s."
    return api_error(429, "RESOURCE_EXHAUSTED", message, quota_failure("GenerateRequestsPerDayPerProject"))


LOST = Reply(200, {}, (Cut("reset"),))
BUSY = api_error(503, "UNAVAILABLE", "busy")


def test_a_good_night(cron: Cron, model: Model) -> None:
    """A busy model is waited out from tick to tick, each message is sent once, and no mail is written."""
    model.script(answer("one"), BUSY)
    assert cron.night(3) == [""] * 3
    assert [len(body["contents"]) for body in model.requests] == [1, 3, 3]
    assert [path.name for path in (cron.home / "runs").iterdir()] == [f"{time.strftime('%Y-%m-%d')}.jsonl"]


def test_an_expectation_that_is_not_met(cron: Cron, model: Model) -> None:
    """One mail of all ticks, with what was wanted, what came, and in which session; another failure is another mail."""
    cron.play("name: nightly\nturns:\n- {id: capital, user: Hello, expect: {contains: Paris}}\n")
    model.script(answer("Lyon\nis nice"))
    first, *others = cron.night()
    session = f"runs/{time.strftime('%Y-%m-%d')}.jsonl"
    wanted = 'nightly/capital, turn 1: the answer should contain "Paris", it is "Lyon\\nis nice"'
    assert first.splitlines()[0] == f"gemcli: error: {wanted} (session {session})"
    assert (others, len(model.requests)) == ([""], 1)
    cron.play("name: nightly\nturns:\n- {id: capital, user: Hello, expect: {contains: Nice}}\n")
    second, *others = cron.night()
    assert ('should contain "Nice"' in second, others) == (True, [""])


def test_a_message_in_doubt(cron: Cron, model: Model) -> None:
    """A lost connection is no mail; that the message may have been answered is one, at the next tick, and no more."""
    model.script(LOST)
    lost, doubt, *others = cron.night(3)
    assert (lost, "was sent before, as turn 1" in doubt, others) == ("", True, [""])
    assert "--on-unknown resend" in doubt
    assert len(model.requests) == 1


def test_a_daily_quota(cron: Cron, model: Model) -> None:
    """It is told once a night, though the API answers with another time at each tick."""
    model.script(*map(daily_quota, (53.190234, 3.2)))
    first, *others = cron.night()
    assert "You exceeded your quota" in first
    assert (others, len(model.requests)) == ([""], 2)


def test_no_key(cron: Cron, model: Model) -> None:
    """What is wrong before anything is sent is told once too, and again if it was mended in between."""
    key = cron.home / ".config" / "gemcli" / "api-key"
    key.chmod(0o644)
    first, *others = cron.night()
    assert ("chmod 600" in first, others, model.requests) == (True, [""], [])
    key.chmod(0o600)
    assert cron.mail() == ""
    cron.play("- Hello\n- Bye\n- More\n")
    key.chmod(0o644)
    assert cron.mail() == first.replace("nightly/t1", "nightly/t3")


def test_what_could_not_be_finished(cron: Cron, model: Model) -> None:
    """A last tick that is not silent about 75 tells it."""
    last = NIGHTLY.replace(" [ $? = 75 ] ||", "")
    assert last != NIGHTLY
    (cron.home / "nightly.sh").write_text(last)
    model.script(BUSY)
    assert "(session runs/" in cron.mail()


def test_overlapping_ticks(cron: Cron, model: Model) -> None:
    """A tick that comes while another one is at work is silent, and the mail of that one is whole."""
    cron.play("- user: Hello\n  expect: {contains: Paris}\n")
    model.script(answer("Lyon"))
    asked, go_on = threading.Event(), threading.Event()

    def wait(number: int) -> None:
        asked.set()
        go_on.wait(60)

    model.during = wait
    first = cron.start("nightly.sh")
    assert asked.wait(60)
    assert cron.mail() == ""
    assert first.poll() is None, "they did not overlap"
    go_on.set()
    assert first.communicate(timeout=60)[0].count("gemcli: error: ") == 1
    assert cron.mail() == ""
    assert len(model.requests) == 1


def test_a_word_every_morning(cron: Cron, model: Model) -> None:
    """It is sent again while the model is busy; a failure is mailed, and leaves yesterday's word in its place."""
    model.script(answer("serendipity"))
    assert (cron.mail("word.new"), (cron.home / "word").read_text()) == ("", "serendipity\n")
    model.script(api_error(400, "INVALID_ARGUMENT", "not today"))
    assert "not today" in cron.mail("word.new")
    assert (cron.home / "word").read_text() == "serendipity\n"


def test_a_long_answer(cron: Cron, model: Model) -> None:
    """Each tick goes on where the last one stopped; the answer is there when it is whole, and then nothing is sent."""
    model.script(unfinished("Once", token="t1"), LOST, unfinished(" upon", token="t2"), LOST, answer(" a time"))
    for tick in range(5):
        assert (cron.mail("novel"), (cron.home / "novel").exists()) == ("", tick >= 2)
    assert (cron.home / "novel").read_text() == "Once upon a time\n"
    assert len(model.requests) == 5
