"""A world for runs without network or command line: sessions are files in a directory, the model is scripted."""

from __future__ import annotations

import copy
import json
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, cast

from gemcli.api.attempt import Attempt
from gemcli.api.backends import Backend
from gemcli.api.gemini import Gemini
from gemcli.api.limits import Limits
from gemcli.api.retry import RetryPolicy
from gemcli.app import App
from gemcli.chat import turn_order
from gemcli.errors import GemcliError, ReasonName
from gemcli.replay import read_script
from gemcli.replay.context import RunContext
from gemcli.replay.conversation import Conversation
from gemcli.replay.events import Event, Outcome
from gemcli.replay.run import run
from gemcli.replay.script import Script, Suite
from gemcli.sessions import record_lines
from gemcli.sessions.record_types import Record
from gemcli.signals import deferred
from gemcli.terminal.output import Output
from tests.builders import ECHO, answer, texts

Reply = Mapping[str, Any] | GemcliError | Callable[[], Mapping[str, Any]]


class FakeModel:
    """A model in this process: each request takes the next of `replies`, later ones are just answered."""

    def __init__(self) -> None:
        self.replies: list[Reply] = []
        self.models: list[str] = []
        self.bodies: list[dict[str, Any]] = []
        self.closed = False

    def ask(
        self, model: str, body: Mapping[str, Any], limits: Limits, on_chunk: None, attempt: Attempt
    ) -> dict[str, Any]:
        """Answer one request, as `Gemini.ask` does."""
        attempt.start()
        attempt.mark_sent()
        self.models.append(model)
        self.bodies.append(copy.deepcopy(dict(body)))
        reply = self.replies.pop(0) if self.replies else answer(f"answer {len(self.bodies)}")
        if isinstance(reply, GemcliError):
            raise reply
        return dict(reply() if callable(reply) else reply)

    def require_own_project(self, model: str) -> None:
        """Every model is this one."""

    def close(self) -> None:
        """Note that the connections were closed."""
        self.closed = True


@dataclass(frozen=True)
class OneClient(App):
    """An application whose way to every backend is one client."""

    client: Any = None

    def gemini(self, backend: Backend, seconds: float = 60.0, *, dry: bool = False) -> Gemini:
        """The client."""
        return cast(Gemini, self.client)


@dataclass
class Played:
    """What came of a run."""

    events: list[Event]
    errors: list[GemcliError]
    summary: Event

    @property
    def turns(self) -> list[Event]:
        """The events of turns."""
        return [event for event in self.events if event["event"] == "turn"]

    @property
    def statuses(self) -> dict[str, list[str]]:
        """The statuses of the turns, by conversation."""
        found: dict[str, list[str]] = {}
        for event in self.turns:
            found.setdefault(event["run"], []).append(event["status"])
        return found


class World:
    """The sessions of a directory and a model. `left` is the time that each run has."""

    def __init__(self, directory: Path, client: Any = None) -> None:
        self.directory = directory
        self.model = FakeModel()
        self.app = OneClient({"GEMCLI_MODEL": ECHO}, Output(), client=client or self.model)
        self.events: list[Event] = []
        self.retries = 0
        self.left = 1e6
        self.output_closed = False

    def context(self, **changes: Any) -> RunContext:
        """What a run gets."""
        context = RunContext(
            app=self.app,
            session=None,
            directory=str(self.directory),
            origin={"kind": "replay"},
            limits=Limits(9.0, time.monotonic() + self.left),
            retry=RetryPolicy(self.retries, lambda: 0.0),
            lock_wait=0,
            emit=self.events.append,
            output_closed=lambda: self.output_closed,
        )
        return replace(context, **changes)

    def play(self, document: Any, *replies: Reply, dry: bool = False, **more: Any) -> list[Outcome]:
        """Play one conversation, and return the outcome of each turn; the model answers with `replies`."""
        seen: list[Outcome] = []
        self.play_into(seen, document, *replies, dry=dry, **more)
        return seen

    def play_into(self, seen: list[Outcome], document: Any, *replies: Reply, dry: bool = False, **more: Any) -> None:
        """The same, for conversations that end in an exception."""
        script, context = self.script(document, **more), self.context()
        self.model.replies = [*replies]
        if dry:
            seen += Conversation(script, context.read_session(script), None, context).play()
            return
        with context.open_session(script) as session, deferred:
            for outcome in Conversation(script, session.journal, session, context).play():
                seen.append(outcome)

    def suite(self, *documents: Any, dry: bool = False, replies: Sequence[Reply] = (), **more: Any) -> Played:
        """Run conversations named c1, c2, …, each a document."""
        suite = load([{"name": f"c{number}"} | document for number, document in enumerate(documents, 1)])
        suite = replace(suite, scripts=tuple(replace(script, **more) for script in suite.scripts))
        self.model.replies = [*replies]
        events: list[Event] = []
        context = self.context(emit=events.append)
        tally = run(suite, context, dry_run=dry)
        return Played(events, tally.errors, tally.summary(None))

    def script(self, document: Any, **more: Any) -> Script:
        """The script that a document holds, called s."""
        if isinstance(document, list) or "turns" not in document:
            document = {"turns": document}
        return load({"name": "s"} | document | more).scripts[0]

    def path(self, name: str = "s") -> Path:
        """The file of a session."""
        return self.directory / f"{name}.jsonl"

    @property
    def history(self) -> list[str]:
        """The texts of the history of the session s, whose turn order is valid."""
        history = self.app.read(str(self.path())).history
        assert turn_order.check(history) == []
        return texts(history)

    def write(self, name: str, *content: Record) -> None:
        """Write a session, record by record."""
        self.path(name).write_bytes(b"".join(record_lines.encode(record) for record in content))

    def append(self, *content: Record, name: str = "s") -> None:
        """Add records to a session."""
        with self.path(name).open("ab") as file:
            file.writelines(record_lines.encode(record) for record in content)


def load(document: Any) -> Suite:
    """The suite that a document holds; a list of documents is a suite of many conversations."""
    rows = [document] if isinstance(document, dict) else document
    return read_script.load("\n".join(json.dumps(row) for row in rows), "s.jsonl" if rows is document else "s.yaml", {})


def error(reason: ReasonName, outcome: str = "rejected", **more: Any) -> GemcliError:
    """What a call without an answer raises."""
    return GemcliError(reason, "so it goes", outcome=outcome, **more)


def blocked(finish: str = "SAFETY") -> Any:
    """A refusal."""
    return answer("half", finish=finish)


def came_to(outcomes: Sequence[Outcome]) -> list[str]:
    """What the turns came to: each status, with the reason of the error if there is one."""
    return [f"{one.status} {one.error.reason}" if one.error else one.status for one in outcomes]
