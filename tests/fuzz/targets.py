"""What is fuzzed: every reader of something from outside, with what must hold of all that it accepts.

A target takes bytes, and returns whether they were accepted. It raises `GemcliError` for what is refused; anything
else that it raises is a bug.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple

from gemcli import create_session, exchange
from gemcli.api import credentials, endpoint, http_errors, models, sse, streamed_answer
from gemcli.api.backends import Backend
from gemcli.api.streamed_answer import StreamedAnswer
from gemcli.app import App
from gemcli.chat import answers, long_answers, merge_answers, turn_order
from gemcli.chat.answers import Answer, continuation_token
from gemcli.chat.contents import Content, FunctionCall, function_responses, group_turns, user_text
from gemcli.commands import rewind
from gemcli.commands.export import FORMATS
from gemcli.create_session import NewOptions
from gemcli.errors import GemcliError
from gemcli.formats import read_history
from gemcli.replay import checks, events, plan, read_script
from gemcli.replay.calls import ToolResults, are_made
from gemcli.replay.script import Script, Turn
from gemcli.requests import prepare_request
from gemcli.sessions import imported_history, names, record_lines, records
from gemcli.sessions.journal import Journal
from gemcli.sessions.read_records import fold, scan
from gemcli.sessions.record_types import Record
from gemcli.sessions.totals import totals_of
from gemcli.settings import config as settings
from gemcli.settings.api_objects import wire_form
from gemcli.simulator.rules_model import rules_app
from gemcli.simulator.simulated_api import simulate
from gemcli.terminal import conversation, documents, escapes, inputs, session_table
from gemcli.terminal.output import Output
from gemcli.text import strict_json
from tests.builders import answer, model

DATA = Path(__file__).parents[1] / "data"

ECHO = "/v1beta/models/simulator/echo"
RULES = "/v1beta/models/simulator/rules"
KEY = {"x-goog-api-key": "k"}
QUESTION = json.dumps({"contents": [user_text("weather")]}).encode()
BACKEND = Backend("gemini")
CALL: settings.Config = {
    "safetySettings": [{"category": "HARM_CATEGORY_HARASSMENT", "threshold": "BLOCK_NONE"}],
    "generationConfig": {"thinkingConfig": {"thinkingBudget": 0}},
}
"""A config of one call, to be merged over any other."""
APP = App({}, Output())


class Target(NamedTuple):
    """A reader under test: what it does with bytes, and where more seeds are than in `tests/data/fuzz/<name>`."""

    read: Callable[[bytes], bool]
    more: Sequence[str] = ()


def same(one: Any, other: Any) -> bool:
    """Whether two JSON values are the same, to the kind of number and the order of keys."""
    return repr(one) == repr(other)


def printed(value: Any) -> None:
    """A value as JSON: one line, safe on a terminal, and the same again when it is read."""
    line = escapes.as_json(value)
    assert not re.search("[\x00-\x1f\x7f-\x9f\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff]", line)
    assert same(json.loads(line), joined_surrogates(value))


def joined_surrogates(value: Any) -> Any:
    """The value as any reader of JSON has it: two halves of a surrogate pair that meet are one character."""
    return json.loads(json.dumps(value))


# Sessions


def session(data: bytes) -> bool:
    """A session file: what loads writes itself again, and can be shown, exported, forked, gone on with, rewound."""
    lines = scan(data)
    assert b"".join(line + b"\n" for line in lines.lines)[: lines.end] + lines.torn in (
        data,
        data + b"\n",
        data[: lines.end],
    )
    journal = fold(lines, "s.jsonl")
    written = [record_lines.encode(record) for record in journal.records]
    again = Journal(map(record_lines.decode, written))
    assert same(again.records, journal.records)
    assert shown(again) == shown(journal)
    forked(journal)
    if exported(journal):
        gone_on_with(journal)
    taken_back(journal)
    with suppress(GemcliError):
        plan.require_settings(Script("s", ()), journal.header)
    return True


def shown(journal: Journal) -> str:
    """Everything that commands show of a session."""
    everything = [documents.turn_document(turn, journal, full=True) for turn in journal.turns.values()]
    told: list[Any] = [*everything, documents.session_document("s", "/s", journal), documents.session_totals(journal)]
    told.append(journal.history)
    texts = [conversation.plain_text([turn]) for turn in journal.turns.values()]
    texts += [str([*conversation.lines_of(turn, 40)]) for turn in journal.turns.values()]
    texts.append(str([*session_table.lines([session_table.row("s", journal)], 1e9, 80)]))
    told += [[turn.number for turn in journal.at(number).live] for number in (0, journal.last_number)]
    for turn in journal.turns.values():
        for one in turn.exchanges:
            told.append(settings.merge(journal.header["config"], one.request.get("config") or {}))
            result = exchange.stored_result(one, journal)
            told.append([result.latency_ms, checks.observe(result)[1:]])
    return escapes.as_json([told, [escapes.visible(text) for text in texts]])


def exported(journal: Journal) -> bool:
    """Write the history in every format, as far as it has a sound order; whether it has one."""
    if turn_order.check(journal.history):
        return False
    for name in FORMATS:
        with suppress(GemcliError):
            document = FORMATS[name].dump(journal, ignored)
            escapes.visible(document) if isinstance(document, str) else printed(document)
            if name == "script":
                come_back(str(document), journal)
    text = escapes.as_json(FORMATS["contents"].dump(journal, ignored))
    with suppress(GemcliError):
        formed = [wire_form(content) for content in journal.history]
        assert same(read_history.load(text, "h").contents, formed)
    return True


def ignored(_note: str) -> None:
    """Nobody reads the notes."""


def come_back(document: str, journal: Journal) -> None:
    """The messages of an exported script are those of the history, if a script can have them at all."""
    try:
        (script,) = read_script.load(document, "s.yaml", {}).scripts
    except GemcliError:
        return
    said = [turn.rendered(script.vars) for turn in script.turns]
    assert ["".join(part["text"] for part in content["parts"]) for content in said] == [
        "".join(part["text"] for part in content["parts"])
        for content in journal.history[::2]
        if not function_responses(content)
    ]


def forked(journal: Journal) -> None:
    """A fork is a session with the same history."""
    with suppress(GemcliError):
        made = create_session.forked(APP, NewOptions(config=CALL), journal, {"kind": "fork", "session": "s"})
        again = Journal(record_lines.decode(record_lines.encode(record)) for record in made)
        assert same(again.history, journal.history)
        assert totals_of(again)["requests"] == 0
        printed(documents.session_document("s", "/s", again))


def gone_on_with(journal: Journal) -> None:
    """The next message can be sent, and its answer recorded; or it is said why not."""
    calls = turn_order.open_calls(journal.history)
    replies: list[Any] = [
        {"functionResponse": {key: call[key] for key in ("name", "id") if key in call} | {"response": {}}}
        for call in calls
    ]
    content: Content = {"role": "user", "parts": replies} if calls else user_text("and now?")
    try:
        request = prepare_request.prepare(journal, content, BACKEND, config=CALL)
    except GemcliError:
        request = None
    if request is not None:
        assert not turn_order.check_request(request.body["contents"])
        printed(request.body)
    longer = Journal(journal.records)
    number, name = longer.next_exchange(content)
    for record in (
        records.request(number, name, content, model="m", backend="b"),
        records.response(name, answer("yes"), valid=True, attempts=[], elapsed_ms=1),
    ):
        longer.apply(record_lines.decode(record_lines.encode(record)))
    assert same(longer.history[:-2], journal.history)
    assert longer.live[-1].number == number


def taken_back(journal: Journal) -> None:
    """The last turn can be rewound, and the rewind taken back."""
    if not journal.live:
        return
    longer = Journal(journal.records)
    numbers = rewind.turns_to_rewind("s", longer, count=1, to=None)
    longer.apply(records.rewind(numbers))
    assert [turn.number for turn in longer.live] + numbers == [turn.number for turn in journal.live]
    longer.apply(records.undo(rewind.turns_to_restore("s", longer)))
    assert same(longer.history, journal.history)


def imported(data: bytes) -> bool:
    """`new --history`: what is accepted becomes a session with that very history."""
    text = inputs.as_text(data, "h")
    if create_session._is_session(text):
        forked(fold(scan(text.encode()), "h"))
        return True
    history = read_history.load(text, "h")
    loaded = history.contents
    first = records.session(model="m", backend="gemini", config={}, origin=None)
    made = [first, *imported_history.from_contents(loaded, model="m", backend="gemini")]
    journal = Journal(record_lines.decode(record_lines.encode(record)) for record in made)
    assert same(journal.history, [sent(content) for content in loaded])
    if not journal.open_turn and not UNCHECKED.search(text + "".join(history.notes)):
        body = strict_json.encode({"contents": [*journal.history, user_text("next")]})
        assert simulate("POST", f"{ECHO}:generateContent", KEY, body).status == 200, "the API would refuse it"
    assert exported(journal)
    shown(journal)
    return True


UNCHECKED = re.compile("unknown keys|language|outcome|scheduling|toolType|Metadata|mediaResolution|partialArgs")
"""What the simulator looks at more closely than an import: keys that it does not know, and names of enums."""


def sent(content: Content) -> Content:
    """A Content of a history as it goes back: that of a model without blank parts."""
    if content["role"] == "user":
        return content
    return {
        **content,
        "parts": [part for part in content["parts"] if any(value for key, value in part.items() if key != "thought")],
    }


# Scripts, settings, rules


def script(data: bytes, **options: Any) -> bool:
    """A script in any form: what is accepted can be planned, and sends sound messages."""
    text = inputs.as_text(data, "script")
    accepted = False
    refused: GemcliError | None = None
    for file in ("s.yaml", "s.jsonl"):
        try:
            suite = read_script.load(text, file, {"a": "given"} if b"{{a}}" in data else {}, **options)
        except GemcliError as error:
            told(error)
            refused = error
            continue
        accepted = True
        printed(events.run_event(suite, 0, dry_run=True))
        for one in suite.scripts:
            planned(one)
    if not accepted and refused:
        raise refused
    return accepted


def planned(one: Script) -> None:
    """Everything that a script would send to a new session."""
    header = create_session.header(APP, NewOptions(one.model, None, one.config), one.header, {"kind": "replay"})
    journal = Journal([header])
    for step in plan.plans(one, journal):
        message = step.message
        called(step.turn, ToolResults(one.tool_results))
        printed([message.key, message.content, step.call_config])
        try:
            request = prepare_request.prepare(
                journal, message.content, BACKEND, model=message.model, config=step.call_config
            )
        except GemcliError as found:
            told(found)
        else:
            printed(request.body)


def called(turn: Turn, results: ToolResults) -> None:
    """Every call that a turn has a result for gets a sound one, once or more often."""
    wanted = [one.called for one in (*turn.tool_results, *results.shared)]
    for one in [*wanted, *turn.expect.calls]:
        call = FunctionCall(name=one.name, args={**one.args}, id="c1")
        assert are_made([one], [call]) == [True]
        if one in wanted:
            try:
                content: Content = {"role": "user", "parts": results.answer([call], turn.tool_results)}
            except GemcliError as found:  # used up by a call with fewer arguments
                told(found)
                continue
            assert turn_order.check([user_text("a"), model({"functionCall": call}), content]) == []


def lines(data: bytes) -> bool:
    """`--lines`: any text is messages."""
    return script(data, as_lines=True)


def config(data: bytes) -> bool:
    """A config file: what is accepted passes the check that sessions get, and merges with itself."""
    text = inputs.as_text(data, "config")
    read = settings.from_yaml(text, "config", lambda _: None)
    assert settings.check(read) == []
    assert settings.merge(read, read) == read or "safetySettings" in read
    settings.merge({"generationConfig": {"seed": 1, "thinkingConfig": {"thinkingBudget": 1}}}, read)
    printed(read)
    return True


def header(data: bytes) -> bool:
    """A config in a session: checked before anything is sent."""
    try:
        read = json.loads(data)
    except (ValueError, RecursionError):
        return False
    found = settings.check(read)
    for problem in found:
        assert problem.describe()
    return not found


def rules(data: bytes) -> bool:
    """The simulator's rules: what is accepted answers any request, in every form."""
    app = rules_app(inputs.as_text(data, "rules"), "rules")
    for verb in ("generateContent", "streamGenerateContent?alt=sse", "streamGenerateContent"):
        replied(app("POST", f"{RULES}:{verb}", KEY, QUESTION))
    return True


def request(data: bytes) -> bool:
    """What another client asks the simulator: answered, or refused in the API's words."""
    code = 0
    for verb in ("generateContent", "streamGenerateContent?alt=sse", "countTokens"):
        code = replied(simulate("POST", f"{ECHO}:{verb}", KEY, data))
        assert code in (200, 400), code
    return code == 200


def replied(reply: Any) -> int:
    """The status of a reply whose steps are bytes, pauses and cuts."""
    status, headers, steps = reply[:3]
    assert all(isinstance(name, str) and isinstance(value, str) for name, value in dict(headers).items())
    assert b"".join(step for step in steps if isinstance(step, bytes)) is not None
    return int(status)


# What is typed and piped in


def message(data: bytes) -> bool:
    """A message from a pipe, and one from the command line: the text that the bytes are, or the byte that is none."""
    assert inputs.as_text(data, "standard input").encode() == data
    assert inputs.argument(os.fsdecode(data), "the message").encode() == data
    escapes.visible(data.decode())
    return True


def word(data: bytes) -> bool:
    """A name on the command line or in the environment: of a session, a model, a URL."""
    text = os.fsdecode(data)
    taken = 0
    checks: tuple[Callable[[str], Any], ...] = (
        lambda text: names.session_path(text, {"GEMCLI_HOME": "/home"}),
        models.check_model,
        lambda text: endpoint.check_base_url(text, "URL"),
        lambda text: credentials.check_key(text, "KEY"),
    )
    for check in checks:
        try:
            check(text)
            taken += 1
        except GemcliError as error:
            told(error)
    with suppress(GemcliError):
        path = names.session_path(text, {"GEMCLI_HOME": "/home"})
        assert path == text or re.fullmatch(r"/home/sessions/\w[\w.-]{0,127}\.jsonl", path, re.ASCII)
    return taken > 0


# What comes over the wire


def body(data: bytes) -> bool:
    """The body of a 200: an answer that can be judged, recorded and shown, and that never breaks the turn order."""
    received = answers.read(data)
    judged(received)
    return True


def judged(*hops: Answer) -> None:
    """Whatever `send` and `replay` do with an answer, and with one of several hops."""
    verdict = long_answers.judge(hops)
    printed(documents.answer_fields(merge_answers.merge(hops), verdict.content))
    started: list[Record] = [records.session(model="m", backend="b", config={}, origin=None)]
    started += [records.request(1, "1.1", user_text("q"), model="m", backend="b")]
    for number, hop in enumerate(hops, 1):
        if number > 1:
            token = continuation_token(hops[number - 2])
            assert token, "a hop that is not the last one can be resumed from"
            started.append(records.continuation("1.1", number, token))
        valid = long_answers.judge(hops[:number]).valid
        started.append(records.response("1.1", hop, valid=valid, attempts=[], elapsed_ms=1))
    journal = Journal(record_lines.decode(record_lines.encode(record)) for record in started)
    assert bool(journal.history) == verdict.valid
    assert turn_order.check(journal.history) == []
    assert not verdict.valid or len(group_turns(journal.history)) == 1
    shown(journal)
    if verdict.error:
        told(verdict.error)
    for event in documents.chunk_events(hops[-1]):
        printed(event)


def stream(data: bytes) -> bool:
    """The body of a stream: the same events however it is cut, and chunks that make an answer."""
    events_, cut = sse.Events(), sse.Events()
    whole = events_.feed(data)
    pieces = [event for start in range(0, len(data), 7) for event in cut.feed(data[start : start + 7])]
    assert pieces == whole
    assert cut.rest == events_.rest
    whole += events_.end()
    streamed = StreamedAnswer()
    for data in whole:
        chunk = streamed_answer.read(data)
        streamed.add(chunk)
        for event in documents.chunk_events(chunk):
            printed(event)
    judged(streamed.answer)
    if begun := streamed.at_checkpoint:
        judged(begun, streamed.answer)
    return True


def error(data: bytes) -> bool:
    """The body of an error, under any status: one clear error."""
    head, _, rest = data.partition(b"\n")
    text = head.decode("latin-1")
    headers = {"retry-after": text, "location": text}
    for http in (400, 429, 503, 302, 204):
        found = http_errors.error_of_response(http, headers, rest)
        told(found)
        assert found.retry_after is None or found.retry_after >= 0
    return True


def told(found: GemcliError) -> None:
    """An error can be told: in a line without controls, and as JSON."""
    assert found.message
    printed(found.to_json() | {"retry_after_s": None})
    assert "\n" not in escapes.one_line(found.message)
    for problem in found.problems:
        assert problem.describe()


TARGETS: Mapping[str, Target] = {
    "session": Target(session, ("sessions/v1/valid/*", "sessions/v1/invalid/*")),
    "history": Target(imported, ("sessions/v1/valid/*",)),
    "script": Target(script, ("../replay/bad_scripts/*.yaml", "sessions/v1/valid/plain.jsonl")),
    "lines": Target(lines, ("fuzz/script/*",)),
    "config": Target(config),
    "header": Target(header),
    "rules": Target(rules),
    "request": Target(request),
    "message": Target(message),
    "word": Target(word),
    "body": Target(body),
    "stream": Target(stream, ("fuzz/body/*",)),
    "error": Target(error),
}
"""Every reader by its name, which is that of its corpus."""


def corpus(name: str) -> list[bytes]:
    """The seeds of a target, in a fixed order."""
    files = sorted((DATA / "fuzz" / name).iterdir())
    files += (
        [path for pattern in TARGETS[name].more for path in sorted(DATA.glob(pattern))] if TARGETS[name].more else []
    )
    return [path.read_bytes() for path in files]
