"""Large inputs that were made to be slow: time grows with their size, not with its square."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from typing import Any

import pytest

from gemcli.api import sse, streamed_answer
from gemcli.api.backends import Backend
from gemcli.api.streamed_answer import StreamedAnswer
from gemcli.chat import answers
from gemcli.chat.contents import user_text
from gemcli.errors import GemcliError
from gemcli.formats import chat_completions, read_history
from gemcli.replay import read_script
from gemcli.requests import prepare_request
from gemcli.sessions import records
from gemcli.sessions.read_records import fold, scan
from gemcli.settings import config as settings
from gemcli.simulator.rules_model import rules_app
from tests.builders import CALL, RESPONSE, chunk, header, hop, request, response, turn
from tests.builders import sse as stream_of

SECONDS = 1.5
"""Processor time for any of them; what grows with the square of the size takes several times that."""


def jsonl(*values: Any) -> str:
    """JSON Lines."""
    return "".join(json.dumps(value) + "\n" for value in values)


def many(form: str, count: int) -> str:
    """The form with each number in it."""
    return "".join(form.replace("#", str(number)) for number in range(count))


def session(text: str) -> None:
    """Read a session, look at its history, write it in the words of others, and prepare the next message."""
    journal = fold(scan(text.encode()), "s")
    chat_completions.dump(journal.history, journal.header)
    prepare_request.prepare(
        journal, {"role": "user", "parts": [RESPONSE]} if journal.open_turn else user_text("x"), Backend("gemini")
    )


def script(text: str, file: str = "s.yaml") -> None:
    """Read a script."""
    read_script.load(text, file, {})


def stream(text: str) -> None:
    """Read a stream, in pieces as the network has them."""
    reader, streamed, data = sse.Events(), StreamedAnswer(), text.encode()
    for start in range(0, len(data), 100):
        for event in reader.feed(data[start : start + 100]):
            streamed.add(streamed_answer.read(event))
    answers.judge(streamed.answer)


def said(**more: Any) -> Any:
    """A chunk of an answer."""
    body = chunk("x", finish="STOP")
    body["candidates"][0] |= more
    return body


def chunks(*values: Any) -> str:
    """A stream of Server-Sent Events."""
    return stream_of(*values).decode()


def unknown() -> dict[str, int]:
    """Settings that there are not, each much like one that there is."""
    return {f"maxOutputToken{number}": 1 for number in range(30_000)}


def calls(count: int) -> list[Any]:
    """A turn that goes on and on: each answer is another call."""
    return [
        record
        for place in range(2, count)
        for record in (request(1, RESPONSE, ordinal=place), response(1, CALL, ordinal=place))
    ]


def hops(count: int) -> list[Any]:
    """An answer that goes on and on."""
    more = [record for number in range(2, count) for record in (records.continuation("1.1", number, "t"), hop(1, "x"))]
    return [request(1, "q"), hop(1, "x"), *more]


def parallel(key: str, count: int) -> list[Any]:
    """As many calls at once, or their responses in the other order."""
    named = [{"name": "f", "id": f"c{place}", "response": {}} for place in range(count)]
    return [{key: each} for each in (named[::-1] if key == "functionResponse" else named)]


def rewound(count: int) -> list[Any]:
    """Turns that are taken out one by one, brought back one by one, and taken out together again and again."""
    all_of_them = [record for number in range(1, count + 1) for record in turn(number)]
    all_of_them += [{"kind": "rewind", "turns": [number]} for number in range(count, 0, -1)]
    all_of_them += [{"kind": "undo", "turns": [number]} for number in range(1, count + 1)]
    return all_of_them + [
        {"kind": kind, "turns": list(range(1, count + 1))} for _ in range(20) for kind in ("rewind", "undo")
    ]


CASES: dict[str, tuple[Callable[[str], Any], Callable[[], str]]] = {
    "session-steps-of-a-turn": (session, lambda: jsonl(header(), request(1, "q"), response(1, CALL), *calls(3000))),
    "session-parallel-calls": (
        session,
        lambda: jsonl(
            header(),
            request(1, "q"),
            response(1, *parallel("functionCall", 8000)),
            request(1, *parallel("functionResponse", 8000), ordinal=2),
            response(1, "done", ordinal=2),
        ),
    ),
    "session-hops": (session, lambda: jsonl(header(), *hops(3000))),
    "session-rewinds": (session, lambda: jsonl(header(), *rewound(300))),
    "session-unknown-settings": (session, lambda: jsonl(header(config={"generationConfig": unknown()}), *turn(1))),
    "session-brackets": (session, lambda: jsonl(header()) + "[" * 300_000),
    "session-keys": (session, lambda: jsonl(header()) + "{" + many('"k#":0,', 30_000) + '"kind":"x"}\n'),
    "history-unknown-keys": (
        lambda text: read_history.load(text, "h"),
        lambda: '[{"role": "user", "parts": [{' + many('"tex#": 1, ', 20_000) + '"text": "q"}]}]',
    ),
    "history-lines-that-are-no-json": (lambda text: read_history.load(text, "h"), lambda: "x\n" * 40_000),
    "config-unknown-keys": (
        lambda text: settings.from_yaml(text, "c", print),
        lambda: many("temperatur#: 1\n", 20_000),
    ),
    "config-brackets": (lambda text: settings.from_yaml(text, "c", print), lambda: "[" * 300_000),
    "config-flow": (lambda text: settings.from_yaml(text, "c", print), lambda: "a: [" + "a, " * 40_000 + "]"),
    "rules-unknown-keys": (lambda text: rules_app(text, "r"), lambda: "rules:\n- {" + many("time#: 1, ", 20_000) + "}"),
    "script-unknown-keys": (script, lambda: "- {user: a, " + many("expec#: 1, ", 20_000) + "}"),
    "script-undefined-names": (
        script,
        lambda: "vars: {" + many("v#: x, ", 2000) + "}\nturns:\n" + "- '{{w}}'\n" * 16_000,
    ),
    "script-templates": (script, lambda: "- '" + "{{ " * 100_000 + "'\n"),
    "script-indents": (script, lambda: "".join(" " * depth + "a:\n" for depth in range(700))),
    "script-comments": (script, lambda: "- a # b\n" * 8000),
    "script-equal-names": (lambda text: script(text, "s.jsonl"), lambda: '{"turns":["a"],"name":"n"}\n' * 6000),
    "script-foreign-keys": (lambda text: script(text, "s.jsonl"), lambda: '{"turns":["a"],"categories":1}\n' * 6000),
    "script-other-foreign-keys": (
        lambda text: script(text, "s.jsonl"),
        lambda: "{" + many('"categor#":"x",', 40_000) + '"turns":["a"]}\n',
    ),
    "script-equal-conversations": (lambda text: script(text, "s.jsonl"), lambda: '{"turns":["a"]}\n' * 6000),
    "script-many-vars": (
        script,
        lambda: "vars:\n" + many("  v#: x\n", 6000) + "turns:\n" + many("- '{{v#}}'\n", 6000),
    ),
    "script-vars-many-times": (
        script,
        lambda: json.dumps({"vars": {"a": "x" * 100_000}, "turns": ["{{a}}" * 20_000] * 5}),
    ),
    "script-undefined-in-one-message": (script, lambda: "vars: {a: b}\nturns:\n- '" + "{{x}}" * 40_000 + "'\n"),
    "script-messages": (script, lambda: "- a\n" * 20_000),
    "script-too-many-lines": (lambda text: script(text, "s.jsonl"), lambda: '"a"\n' * 400_000),
    "script-indented-items": (script, lambda: "- a\n" + " - b\n" * 40_000),
    "script-expressions": (script, lambda: json.dumps(["{{a.b " * 40_000, "{% a " * 40_000, "{{a|" * 40_000])),
    "script-brackets": (lambda text: script(text, "s.jsonl"), lambda: "[" * 300_000),
    "stream-citations": (
        stream,
        lambda: chunks(*[said(citationMetadata={"c": list(range(start, start + 25_000))}) for start in (0, 25_000)]),
    ),
    "stream-citation-by-citation": (
        stream,
        lambda: chunks(*[said(citationMetadata={"citationSources": [{"uri": str(number)}]}) for number in range(2500)]),
    ),
    "stream-texts": (stream, lambda: chunks(*[said()] * 2500)),
    "stream-without-an-end": (stream, lambda: "data: " + "x" * 1_000_000),
}  # fmt: skip


@pytest.mark.parametrize("name", CASES)
def test_large_inputs_are_quick(name: str) -> None:
    """A few hundred KB are read, or refused, in about a second, whatever is in them."""
    read, make = CASES[name]
    text = make()
    start = time.process_time()
    try:
        read(text)
    except GemcliError as error:
        json.dumps(error.to_json())
    assert time.process_time() - start < SECONDS
