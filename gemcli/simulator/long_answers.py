"""Answers of rules, one hop at a time: each from the place that the request's token names."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from itertools import pairwise

from gemcli.chat.contents import Part
from gemcli.simulator import continuation, responses, streams, tokens
from gemcli.simulator.api_errors import invalid_argument
from gemcli.simulator.continuation import Place
from gemcli.simulator.read_request import Message
from gemcli.simulator.replies import ScriptedReply
from gemcli.simulator.rules import Answer

SIGNATURE = "c2lnbmVk"
"""What signs the empty Part that ends a hop whose token came early."""


def reply(answer: Answer, place: Place, request: Message, version: str) -> ScriptedReply:
    """The hop of `answer` that begins at `place`, with its tokens, as the model `version`."""
    hops = (answer, *answer.next_hops)
    if place.step >= len(hops):  # the rules were changed since
        raise invalid_argument(continuation.NOT_VALID)
    hop, goes_on = hops[place.step], place.step + 1 < len(hops)
    pieces = streams.pieces(responses.joined(hop.parts))[place.sent :]
    checkpoints = _checkpoints(answer.checkpoints, place, pieces, request)
    finish = hop.finish or ("CONTINUATION" if goes_on else "STOP")
    after = _after(place, pieces)._replace(hop=place.hop + 1)
    if goes_on:
        after = after._replace(step=place.step + 1, sent=0)
    token = _token(hop, goes_on, finish, after, request)
    if token and hop.carrier == "early":
        pieces = _signed(pieces)
        checkpoints[len(pieces) - 1] = token
    response = responses.answer(
        request,
        hop.model_version or version,
        pieces,
        finish,
        finish_message=hop.finish_message,
        usage=hop.usage,
        before=place.output,
        token=token,
    )
    return ScriptedReply(response, checkpoints=checkpoints)


def _checkpoints(
    every: int | None, place: Place, pieces: Sequence[Part], request: Message
) -> dict[int, str]:
    """A token after each so many pieces of a hop, but not after the last one."""
    if every is None:
        return {}
    numbers = range(every, len(pieces), every)
    places = []
    at = place._replace(hop=place.hop + 1)
    for number in numbers:
        at = _after(at, pieces[number - every : number])
        places.append(at)
    return dict(zip(numbers, continuation.checkpoints(request, places), strict=True))


def _after(place: Place, pieces: Sequence[Part]) -> Place:
    """The place behind some more pieces of a hop."""
    output = place.output + tokens.of_parts(responses.joined(pieces))
    return place._replace(sent=place.sent + len(pieces), output=output)


def _token(hop: Answer, goes_on: bool, finish: str, after: Place, request: Message) -> str | None:
    """The token at the end of a hop, if there is one."""
    if hop.carrier == "none" or not (goes_on or hop.carrier):
        return None
    if hop.carrier == "repeated":
        return request.get("continuationToken")
    return continuation.token(request, after, finish)


def _signed(pieces: Sequence[Part]) -> list[Part]:
    """The pieces with an empty, signed one at the end."""
    if pieces and pieces[-1].get("text") == "":
        return list(pieces)
    return [*pieces, {"text": "", "thoughtSignature": SIGNATURE}]


def cut(answer: Answer, count: int) -> list[Answer]:
    """The answer in so many hops of one size; only the last one ends as the answer does."""
    parts = responses.joined(answer.parts)
    total = sum(_length(part) for part in parts)
    ends = [total * number // count for number in range(count + 1)]
    *begun, last = [tuple(_between(parts, *span)) for span in pairwise(ends)]
    plain = replace(answer, finish=None, finish_message=None)
    ending = replace(answer, parts=last, carrier=None if begun else answer.carrier)
    return [*(replace(plain, parts=parts) for parts in begun), ending]


def _between(parts: Iterable[Part], low: int, high: int) -> Iterator[Part]:
    """What lies between two places: text is cut there, any other Part is where it begins."""
    begin = 0
    for part in parts:
        if not responses.is_prose(part):
            if low <= begin < high:
                yield part
        elif text := part["text"][max(low - begin, 0) : max(high - begin, 0)]:
            yield {**part, "text": text}
        begin += _length(part)


def _length(part: Part) -> int:
    return len(part["text"]) if responses.is_prose(part) else 1
