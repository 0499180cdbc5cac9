"""A conversation to read: the same in a pipe and on a terminal, and nothing of it hidden."""

from __future__ import annotations

from typing import Any

import pytest

from gemcli.sessions import records
from gemcli.sessions.journal import Journal
from gemcli.sessions.turns import Turn
from gemcli.terminal import conversation
from gemcli.terminal.screen import rendered
from tests.builders import CALL, RESPONSE, answer, failure, header, mixed, request, response, turn

IMAGE: Any = {"inlineData": {"mimeType": "image/png", "data": "AAAABBBB"}}


def first_of(*content: Any) -> Turn:
    """The first turn of a session with these records."""
    return Journal([header(), *content]).turns[1]


def shown(turn: Turn, columns: int = 40) -> list[str]:
    """The turn on a terminal, without colours."""
    return [rendered(line, colours=False) for line in conversation.lines_of(turn, columns)]


CALLED = [
    request(1, "q"),
    response(1, "Let me see", CALL),
    request(1, RESPONSE, ordinal=2),
    response(1, {"text": "hm", "thought": True}, "en", "d", ordinal=2),
]


def test_calls_have_lines_of_their_own() -> None:
    """A call and its response, between the texts; thoughts are left out."""
    assert conversation.plain_text([first_of(*CALLED)]) == (
        'user: q\nmodel: Let me see\ncall: f({})\nresponse: f: {"result":1}\nmodel: end\n'
    )
    assert shown(first_of(*CALLED))[1:] == [
        "  q",
        "model  simulator/echo",
        "  Let me see",
        "  → f({})",
        '  ← f: {"result":1}',
        "  end",
    ]


def test_a_long_call_is_one_line() -> None:
    """It is cut on a terminal, and whole in a pipe."""
    call = {"functionCall": {"name": "f", "args": {"x": "y" * 100}}}
    turn = first_of(request(1, "q"), response(1, call))
    assert [line for line in shown(turn) if "→" in line] == ['  → f({"x":"' + "y" * 27 + "…"]
    assert "y" * 100 in conversation.plain_text([turn])


@pytest.mark.parametrize(
    ("part", "label"),
    [
        (IMAGE, "image/png, about 6 bytes"),
        ({"fileData": {"mimeType": "video/mp4", "fileUri": "https://x/y"}}, "video/mp4, https://x/y"),
        ({"new": {"code": "1"}}, 'new: {"code":"1"}'),
        ({"new": 1}, "new"),
    ],
)
def test_other_parts(part: Any, label: str) -> None:
    """What is neither text nor a call is named."""
    assert conversation.part_label(part) == label
    turn = first_of(request(1, "q"), response(1, "Look", part))
    assert conversation.plain_text([turn]) == f"user: q\nmodel: Look\npart: {label}\n"


SERVER_SIDE: list[Any] = [
    {"executableCode": {"language": "PYTHON", "code": "for n in x:\n  print(n)\n"}},
    {"codeExecutionResult": {"outcome": "OUTCOME_OK", "output": "15\n"}},
    {"codeExecutionResult": {"outcome": "OUTCOME_FAILED"}},
    {"thoughtSignature": "c2ln", "toolCall": {"toolType": "GOOGLE_SEARCH_WEB", "id": "s1", "args": {"q": 1}}},
    {"toolResponse": {"toolType": "GOOGLE_SEARCH_WEB", "id": "s1", "response": {"a": 1}}, "thoughtSignature": "c2ln"},
    {"toolCall": {"id": "s2"}},
    {"thoughtSignature": "c2ln"},
]


def test_what_the_tools_of_the_api_did() -> None:
    """Code is shown as code, with its output; calls and results by the tool; a signature is no Part."""
    turn = first_of(request(1, "q"), response(1, *SERVER_SIDE, "a"))
    assert conversation.plain_text([turn]) == (
        "user: q\npart: executableCode PYTHON\nfor n in x:\n  print(n)\npart: codeExecutionResult OUTCOME_OK\n15\n"
        'part: codeExecutionResult OUTCOME_FAILED\npart: toolCall GOOGLE_SEARCH_WEB: {"q":1}\n'
        'part: toolResponse GOOGLE_SEARCH_WEB: {"a":1}\npart: toolCall\nmodel: a\n'
    )


def test_a_long_part_is_cut_on_a_terminal() -> None:
    """Pages that a search found would push the answer off the screen; a pipe gets all of it."""
    page = {"toolResponse": {"toolType": "URL_CONTEXT", "response": {"page": "word " * 1000}}}
    turn = first_of(request(1, "q"), response(1, page, "a"))
    lines = shown(turn)
    assert len(lines) == 3 + conversation.MOST_LINES + 1
    assert lines[-2:] == ["  …", "  a"]
    assert "word " * 1000 in conversation.plain_text([turn])


def test_images_of_a_function_response() -> None:
    """What belongs to a response follows it; the data are not shown."""
    result = {"functionResponse": {"name": "f", "id": "c1", "response": {"file": {"$ref": "x"}}, "parts": [IMAGE, 1]}}
    turn = first_of(request(1, "q"), response(1, CALL), request(1, result, ordinal=2), response(1, "a", ordinal=2))
    assert conversation.plain_text([turn]) == (
        'user: q\ncall: f({})\nresponse: f: {"file":{"$ref":"x"}}\npart: image/png, about 6 bytes\npart: 1\nmodel: a\n'
    )


@pytest.mark.parametrize(
    ("records_", "note"),
    [
        ([response(1, CALL)], "open: the model waits for the responses of f"),
        ([response(1, "Half", finish="MAX_TOKENS")], "incomplete: the answer was cut off: MAX_TOKENS"),
        ([response(1, CALL), request(1, RESPONSE, ordinal=2), response(1, "a", ordinal=2)], None),
        ([response(1, "a")], None),
        (
            [response(1, CALL), request(1, RESPONSE, ordinal=2), failure(1, "rejected") | {"request": "1.2"}],
            "failed: UNAVAILABLE, overloaded\nopen: the model waits for the responses of f",
        ),
        ([response(1, CALL), records.rewind([1])], "rewound"),
    ],
)
def test_a_turn_that_is_not_finished(records_: list[Any], note: str | None) -> None:
    """It says what it waits for, or that it was cut off, until it is finished or rewound."""
    said = list(conversation.said(first_of(request(1, "q"), *records_)))
    assert [each.text for each in said if each.kind == "note"] == (note or "").splitlines()


@pytest.mark.parametrize(
    ("number", "lines"),
    [
        (
            2,
            [
                "model  simulator/echo",
                "  half an answer",
                "  refused: ANSWER_BLOCKED, the answer",
                "  ended with SAFETY",
            ],
        ),
        (3, ["  failed: UNAVAILABLE, overloaded"]),
        (4, ["  in doubt: UNAVAILABLE, overloaded"]),
        (5, ["model  simulator/echo", "  answer 5", "  rewound"]),
    ],
)
def test_what_became_of_a_turn(number: int, lines: list[str]) -> None:
    """A turn that is not in the history says why, after what there is of it."""
    assert shown(Journal(mixed()).turns[number], 42)[2:] == lines


def test_the_part_of_an_answer_that_arrived() -> None:
    """A stream that broke shows what had come, then why no more came."""
    broken = failure(1, "unknown") | {"partial": answer("Half an", finish=None)}
    assert conversation.plain_text([first_of(request(1, "q"), broken)]) == (
        "user: q\nmodel: Half an\nnote: in doubt: UNAVAILABLE, overloaded\n"
    )
    junk = failure(1, "unknown") | {"partial": {"candidates": 1}}
    assert conversation.plain_text([first_of(request(1, "q"), junk)]).endswith(
        "\nnote: in doubt: UNAVAILABLE, overloaded\n"
    )


def test_an_answer_in_hops() -> None:
    """It is one text; of a hop that broke off nothing is shown but that it did: the next one may repeat it."""
    first = response(1, "Once ", finish="CONTINUATION")
    first["answer"]["candidates"][0]["continuationToken"] = "t"
    second = {**first, "answer": first["answer"] | answer("upon", finish="CONTINUATION")}
    second["answer"]["candidates"][0]["continuationToken"] = "u"
    broken = failure(1, "unknown") | {"partial": answer(" a ti", finish=None)}
    hops = [first, records.continuation("1.1", 2, "t"), second, records.continuation("1.1", 3, "u"), broken]
    assert conversation.plain_text([first_of(request(1, "q"), *hops)]) == (
        "user: q\nmodel: Once upon\nnote: incomplete: the answer is not finished: overloaded\n"
    )


def test_the_heading_has_the_number_and_the_time() -> None:
    """In the time of this place; a time that is none is left out."""
    records_ = turn(1)
    records_[0]["time"] = "2026-11-21T20:14:00.000Z"
    assert shown(first_of(*records_))[0].startswith("user  1 · 2026-11-2")
    records_[0]["time"] = "once"
    assert shown(first_of(*records_))[0] == "user  1"


def test_answer_text() -> None:
    """The text of the last answer; where there is none, what there is instead."""
    assert conversation.answer_text(first_of(*CALLED)) == "end"
    assert conversation.answer_text(first_of(*CALLED[:2])) == "Let me see"
    assert conversation.answer_text(first_of(request(1, "q"), response(1, CALL))) == (
        "user: q\ncall: f({})\nnote: open: the model waits for the responses of f\n"
    )
    journal = Journal([header(), *turn(1), records.rewind([1])])
    assert conversation.answer_text(journal.turns[1]) == "answer 1"
