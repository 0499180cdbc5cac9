"""Thought signatures: which of them may go out with a request.

A signature is the model's own sealed note about its thoughts, valid only where it was made. It goes
out if its answer came from the model that is asked now, at the same backend, otherwise not. Models
are told apart by the version that answered: an alias such as `gemini-flash-latest` names one model
today and another one next month.

Gemini 3 refuses a function call of the current turn without a signature, and documents a stand-in
for calls that come from elsewhere (ai.google.dev/gemini-api/docs/thought-signatures).
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from gemcli.chat.contents import TOOL_PAIR, Content, Part, begins_turn, is_blank, parts_of
from gemcli.sessions.turns import Exchange

STAND_IN = "skip_thought_signature_validator"
"""What the API documents for calls whose signature cannot be had."""

LEFT_OUT = "thought signatures of another model or backend were left out"
TOOLS_LEFT_OUT = "what the API's own tools did for another model was left out, as it is signed"
STOOD_IN = "a function call without a signature was sent with the documented stand-in"

_NEEDS_SIGNATURES = re.compile(r"gemini-([3-9]|[1-9]\d)|gemini-[a-z-]+-latest$")
"""The models that do. An alias that has not answered yet may stand for one."""


class Target(NamedTuple):
    """Who gets a request: a model by the name that is asked for, its version, and the backend.

    The version is the name itself as long as the model has not answered under it.
    """

    name: str
    version: str
    backend: str

    @property
    def generation(self) -> str:
        """The name that tells the generation of the model: servers may have others for versions."""
        return self.version if self.version.startswith("gemini-") else self.name


class Sendable(NamedTuple):
    """Contents as they may go out, and notes about what was changed."""

    contents: list[Content]
    notes: list[str]


def target(name: str, backend: str, before: Iterable[Exchange]) -> Target:
    """Whom a model's name means: the version that answered last under it, or the name itself.

    `before` are all exchanges of the session so far, oldest first.
    """
    version = name
    for exchange in before:
        request = exchange.request
        if (request["model"], request["backend"]) == (name, backend):
            version = _version(exchange) or version
    return Target(_plain(name), _plain(version), backend)


def sendable(exchanges: Iterable[Exchange], content: Content, to: Target) -> Sendable:
    """The history that these exchanges make, with `content` behind it, as `to` may get it."""
    contents: list[Content] = []
    notes: dict[str, None] = {}
    for exchange in exchanges:
        question, answer = exchange.contents
        if not _is_signed_by(to, exchange):
            answer = _without_signatures(answer, notes)
        contents += [question, answer]
    contents, stood_in = with_stand_ins([*contents, content], to.generation)
    return Sendable(contents, [*notes, *([STOOD_IN] if stood_in else [])])


def _is_signed_by(to: Target, exchange: Exchange) -> bool:
    """Whether it is this model that answered an exchange; nobody knows it of many an import."""
    request, version = exchange.request, _version(exchange)
    imported = request.get("imported", False)
    if request["backend"] != to.backend or (imported and version is None):
        return False
    # What the user says of an import, and what a server has not told, may be an alias.
    only_a_name = version is None or (imported and version == request["model"])
    known = _plain(version or request["model"])
    return known == to.version or (only_a_name and known == to.name)


def _version(exchange: Exchange) -> str | None:
    version: object = (exchange.answer or {}).get("modelVersion")
    return version if version and isinstance(version, str) else None


def _plain(model: str) -> str:
    """A model's name without the collection that it is in, such as `models/`."""
    return model.rpartition("models/")[2]


def _without_signatures(content: Content, notes: dict[str, None]) -> Content:
    """The Content without signatures, and without Parts that held nothing else.

    What a server-side tool did goes whole or not at all, so that is left out, too. An answer that
    is nothing else stays whole: a history that lacks it would be refused for certain.
    """
    parts = parts_of(content)
    if not any("thoughtSignature" in part for part in parts):
        return content
    with_tools = any("thoughtSignature" in part and _is_of_a_tool(part) for part in parts)
    bare = [_unsigned(part) for part in parts if not (with_tools and _is_of_a_tool(part))]
    kept = [part for part in bare if not is_blank(part)]
    if not kept:
        return content
    notes[LEFT_OUT] = None
    if with_tools:
        notes[TOOLS_LEFT_OUT] = None
    return {**content, "parts": kept}


def _is_of_a_tool(part: Part) -> bool:
    return not part.keys().isdisjoint(TOOL_PAIR)


def _unsigned(part: Part) -> Part:
    bare = part.copy()
    bare.pop("thoughtSignature", None)
    return bare


def with_stand_ins(contents: Sequence[Content], model: str) -> tuple[list[Content], bool]:
    """`contents` with stand-ins in the open turn, and whether any was added."""
    if not _NEEDS_SIGNATURES.search(model):
        return [*contents], False
    messages = [place for place, content in enumerate(contents) if begins_turn(content)]
    start = messages[-1] if messages else 0
    open_turn = [_with_stand_in(content) for content in contents[start:]]
    return [*contents[:start], *open_turn], open_turn != contents[start:]


def _with_stand_in(content: Content) -> Content:
    """The Content with the stand-in on its first function call, if that has no signature."""
    parts = parts_of(content)
    calls = [place for place, part in enumerate(parts) if "functionCall" in part]
    if not calls or "thoughtSignature" in parts[calls[0]]:
        return content
    first: Part = {**parts[calls[0]], "thoughtSignature": STAND_IN}
    return {**content, "parts": [*parts[: calls[0]], first, *parts[calls[0] + 1 :]]}
