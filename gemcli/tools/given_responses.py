"""Responses that the user gives: read from the values of `--response`, and fitted to the calls.

A call is named by the name of its function, or by its id. What is given is JSON, or an image or PDF
from a file.
"""

from __future__ import annotations

import os
import shlex
from collections.abc import Callable, Container, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import click

from gemcli.chat.contents import Content, FunctionCall
from gemcli.chat.open_calls import option_for, short_name
from gemcli.errors import GemcliError, Problem, did_you_mean, require_none
from gemcli.terminal import inputs
from gemcli.text import strict_json
from gemcli.tools import results
from gemcli.tools.results import FunctionResult

STDIN = ("-", "@-")
"""The values that stand for standard input."""

LONGEST_SHOWN = 60
"""The longest text that a hint repeats, in characters."""


@dataclass(frozen=True)
class GivenResponse:
    """What was given for the call with this name or id; `file` names the file it was read from."""

    call: str
    data: bytes
    file: str | None = None


# Reading


def readers(values: Iterable[str]) -> dict[str, bool]:
    """Which of these values read standard input."""
    return {f"--response {value}": value.partition("=")[2] in STDIN for value in values}


def read(values: Iterable[str], notice: Callable[[str], None]) -> tuple[GivenResponse, ...]:
    """The responses that `--response` gives. Raises what `inputs.data` raises."""
    return tuple(_read(value, notice) for value in values)


def _read(given: str, notice: Callable[[str], None]) -> GivenResponse:
    call, equals, value = given.partition("=")
    if not call or not equals:
        what = f"--response takes NAME=JSON, NAME=@FILE or NAME=-; not {given!r}"
        raise click.UsageError(what)
    if value in STDIN:
        return GivenResponse(call, inputs.data("-", notice), "standard input")
    if value.startswith("@"):
        path = value[1:]
        return GivenResponse(call, inputs.data(path, notice), os.path.basename(path))
    return GivenResponse(call, value.encode("utf-8", "surrogateescape"))


# Fitting


def fit(
    calls: Sequence[FunctionCall],
    given: Sequence[GivenResponse],
    recorded: Mapping[int, FunctionResult],
) -> Content:
    """The user Content that answers every call, in the order of the calls.

    Calls with one name are told apart by their ids; those without ids are answered in order. Where
    none is given, the result counts that was `recorded` when a tool ran for the call in this place.
    Raises `GemcliError` RESPONSES with everything that is wrong.
    """
    if not calls:
        hint = "run gemcli history -s SESSION --last to see the last answer"
        raise GemcliError("RESPONSES", "no function call waits for a response", hint=hint)
    problems: list[Problem] = []
    found: dict[int, FunctionResult] = {}
    for one in given:
        place = _place(calls, one, found, recorded, problems)
        result = _result(one, problems)
        if place is not None:
            found[place] = result
    found = {**recorded, **found}
    problems += _missing(calls, found)
    require_none(problems, "the responses do not fit the calls", "RESPONSES")
    return results.content(found[place].part(call) for place, call in enumerate(calls))


def _place(
    calls: Sequence[FunctionCall],
    one: GivenResponse,
    given: Container[int],
    recorded: Container[int],
    problems: list[Problem],
) -> int | None:
    """Which call a response is for; None, with a problem, if that cannot be told."""
    ids = [place for place, call in enumerate(calls) if call.get("id") == one.call]
    places = ids or [place for place, call in enumerate(calls) if call.get("name") == one.call]
    label = f"--response {one.call}"
    if not places:
        names = [word for call in calls for word in (call.get("name"), call.get("id")) if word]
        hint = did_you_mean(one.call, names) or f"the calls are {', '.join(map(_shown, calls))}"
        problems.append(Problem("unknown-call", f"{label}: no such call waits", hint=hint))
        return None
    own_ids = {calls[place].get("id") for place in places} - {None}
    if len(places) > 1 and len(own_ids) == len(places):
        several = ", ".join(short_name(calls[place], calls) for place in places)
        message = f"{label}: {len(places)} calls have this name"
        problems.append(Problem("ambiguous-call", message, hint=f"use an id: {several}"))
        return None
    free = [place for place in places if place not in given]
    if not free:
        problems.append(Problem("duplicate", f"{label}: this call has a response already"))
        return None
    return min(free, key=lambda place: place in recorded)


def _result(one: GivenResponse, problems: list[Problem]) -> FunctionResult:
    """What was given; a problem if it is neither JSON nor a file that the API takes."""
    if file := results.of_file(one.data, one.file or "file"):
        return file
    try:
        return results.of_value(strict_json.loads(one.data, results.MAX_DEPTH))
    except ValueError as error:
        message = f"--response {one.call}: not JSON: {error}"
        problems.append(Problem("value", message, hint=_how_to_write(one)))
        return FunctionResult({})


def _how_to_write(one: GivenResponse) -> str:
    """What to do about a response that is no JSON: text often lacks its quotes."""
    if one.file is not None:
        return "give JSON, which jq -Rs . makes of text, or a PNG, JPEG, WebP or PDF file"
    text = one.data.decode("utf-8", "replace")
    quoted = strict_json.dumps(text if 0 < len(text) <= LONGEST_SHOWN else "…")
    return f"put text in double quotes: --response {shlex.quote(f'{one.call}={quoted}')}"


def _missing(calls: Sequence[FunctionCall], found: Container[int]) -> Iterator[Problem]:
    """A problem for each call without a response."""
    for place, call in enumerate(calls):
        if place not in found:
            hint = f"add {option_for(call, calls)}"
            yield Problem("missing", f"no response for the call of {_shown(call)}", hint=hint)


def _shown(call: FunctionCall) -> str:
    """A call in a message."""
    return f"{call.get('name')} (id {call['id']})" if "id" in call else str(call.get("name"))
