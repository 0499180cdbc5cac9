"""Answers that are longer than one request: their hops, and what these are together. Pure.

Such an answer comes in hops, one for each request. A hop that is not the last one leaves a token,
and the next request resumes from it. Everything else, an answer in one piece, has one hop.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, cast

from gemcli.chat import answers, turn_order
from gemcli.chat.answers import Answer, UsageMetadata, Verdict, content_of
from gemcli.chat.contents import Content, MergedParts, as_sent, parts_of, says_something
from gemcli.errors import GemcliError

Json = Mapping[str, Any]

_OF_THE_LAST_HOP = ("finishReason", "finishMessage", "continuationToken")


# Going on


def resume_token(answer: Answer) -> str | None:
    """The token that an answer left to resume from, whatever it ended with."""
    token: object = _first_candidate(answer).get("continuationToken")
    return token if isinstance(token, str) and token else None


def goes_on(answer: Answer) -> bool:
    """Whether an answer is unfinished: it left a token, and was not ended by anything else."""
    return _resumable(answer, (None, "CONTINUATION"))


def can_go_on(answer: Answer) -> bool:
    """Whether an answer goes on, or would with a larger limit of tokens."""
    return _resumable(answer, (None, "CONTINUATION", "MAX_TOKENS"))


def _resumable(answer: Answer, finish_reasons: Sequence[str | None]) -> bool:
    if resume_token(answer) is None or (answer.get("promptFeedback") or {}).get("blockReason"):
        return False
    return (_first_candidate(answer).get("finishReason") or None) in finish_reasons


def _first_candidate(answer: Answer) -> Json:
    return (answer.get("candidates") or [{}])[0]


# The verdict


def judge(hops: Sequence[Answer], taken: int | None = None) -> Verdict:
    """Judge the answer that these hops make.

    `taken` is how many of them the history took, if that was decided when they were recorded. What
    spoils a later hop, such as a safety filter, costs that hop only: the ones before it stay.
    """
    if taken is None:
        taken = _taken(hops)
    verdict = _judge_merged(hops)
    if taken == len(hops):
        # It is in the history already; an imported answer, for one, has no finish reason.
        return replace(verdict, valid=True, error=verdict.error if verdict.valid else None)
    if taken == 0:
        return replace(verdict, valid=False)
    fault = answers.judge(hops[-1]).error or verdict.error
    why = f": {fault.message}" if fault else ""
    error = GemcliError("INCOMPLETE", f"the answer was cut off at hop {len(hops)}{why}")
    return replace(verdict, valid=True, error=error, content=content(hops[:taken]))


def takes_last(hops: Sequence[Answer]) -> bool:
    """Whether the history takes the newest hop and with it all the others."""
    return _judge_merged(hops).valid


def _taken(hops: Sequence[Answer]) -> int:
    """How many of these hops the history takes: those up to the last one that it takes."""
    for count in range(len(hops), 0, -1):
        if takes_last(hops[:count]):
            return count
    return 0


def _judge_merged(hops: Sequence[Answer]) -> Verdict:
    answer = merge(hops)
    if not goes_on(answer):
        verdict = answers.judge(answer)
        return replace(verdict, content=content(hops)) if len(hops) > 1 else verdict
    said = content(hops)
    finish = _first_candidate(answer).get("finishReason")
    if breach := next(turn_order.content_problems(1, said), None) if said["parts"] else None:
        message = f"the API would refuse its own answer: {breach.message}"
        return Verdict(False, GemcliError("MALFORMED_ANSWER", message), finish, said)
    error = GemcliError("INCOMPLETE", "the answer is not finished")
    return Verdict(says_something(said), error, finish, said)


def content(hops: Sequence[Answer]) -> Content:
    """The model Content that hops make, as it goes back to the API: plain neighbours are joined."""
    whole = content_of(merge(hops))
    if len(hops) > 1:
        parts = MergedParts()
        for part in parts_of(whole):
            parts.add(part)
        whole = {**whole, "parts": parts.all}
    return as_sent(whole)


# The merge


def merge(hops: Sequence[Answer]) -> Answer:
    """The one answer that hops make, as google-genai's `merge_continuation_responses` makes it.

    Parts follow each other as they came, tokens are summed, the end is that of the last hop. Fields
    that the SDK does not know, and drops, are kept: lists are joined, of other values the last one
    counts.
    """
    whole: Json = hops[0] if hops else {}
    for hop in hops[1:]:
        whole = _merge_answers(whole, hop)
    return cast("Answer", whole)


def sum_usage(usages: Sequence[UsageMetadata]) -> UsageMetadata | None:
    """The tokens of several requests together, None of no request."""
    total: Json | None = None
    for usage in usages:
        total = usage if total is None else _merge_objects(total, usage)
    return cast("UsageMetadata | None", total)


def _merge_answers(before: Json, after: Json) -> Json:
    whole = _merge_objects(before, after)
    if before.get("candidates"):
        earlier, later = before["candidates"], after.get("candidates") or []
        if later:
            both = [_merge_candidates(*pair) for pair in zip(earlier, later, strict=False)]
            whole["candidates"] = both + earlier[len(later) :] + later[len(earlier) :]
        else:
            whole["candidates"] = [_merge_candidates(candidate, {}) for candidate in earlier]
    return whole


def _merge_candidates(before: Json, after: Json) -> Json:
    whole = _merge_objects(before, _with_grounding_shifted(before, after))
    for name in _OF_THE_LAST_HOP:
        if name not in after:
            whole.pop(name, None)
        else:
            whole[name] = after[name]
    return whole


def _merge_objects(before: Json, after: Json) -> dict[str, Any]:
    whole = {**before, **after}
    for name in after:
        if name in before:
            whole[name] = _merge_values(name, before[name], after[name])
    return whole


def _merge_values(name: str, before: Any, after: Any) -> Any:
    if after is None:
        return before
    if isinstance(before, dict) and isinstance(after, dict):
        return _merge_objects(before, after)
    if isinstance(before, list) and isinstance(after, list):
        if name == "safetyRatings":
            return _latest_by("category", before + after)
        if name.endswith("TokensDetails"):
            return _summed_by("modality", before + after)
        return before + after
    if name.endswith(("Count", "Sum")) and _is_number(before) and _is_number(after):
        return before + after
    return after


def _latest_by(key: str, entries: Sequence[Any]) -> list[Any]:
    """The last of the entries with the same key, in the order in which the keys appeared."""
    return list({_value(entry, key): entry for entry in entries}.values())


def _summed_by(key: str, entries: Sequence[Any]) -> list[Any]:
    """One entry for each key, in the order in which they appeared, with the sum of its tokens."""
    sums: dict[str, Any] = {}
    for entry in entries:
        same = sums.setdefault(_value(entry, key), {})
        total = answers.token_count(same, "tokenCount") + answers.token_count(entry, "tokenCount")
        sums[_value(entry, key)] = {**same, **_object(entry), "tokenCount": total}
    return list(sums.values())


def _with_grounding_shifted(before: Json, after: Json) -> Json:
    """The candidate `after`, whose grounding points at the Parts and chunks of both together."""
    grounding = _object(after.get("groundingMetadata"))
    supports = grounding.get("groundingSupports")
    if not isinstance(supports, list):
        return after
    chunks = _object(before.get("groundingMetadata")).get("groundingChunks")
    chunk_offset = len(chunks) if isinstance(chunks, list) else 0
    part_offset = len(parts_of(before.get("content")))
    shifted = [_shifted(_object(support), chunk_offset, part_offset) for support in supports]
    return {**after, "groundingMetadata": {**grounding, "groundingSupports": shifted}}


def _shifted(support: Json, chunk_offset: int, part_offset: int) -> Json:
    moved = dict(support)
    indices = support.get("groundingChunkIndices")
    if isinstance(indices, list):
        moved["groundingChunkIndices"] = [
            index + chunk_offset if _is_number(index) else index for index in indices
        ]
    segment = support.get("segment")
    if part_offset and isinstance(segment, dict):
        place = segment.get("partIndex") or 0  # left out: the first Part
        moved["segment"] = {
            **segment,
            "partIndex": place + part_offset if _is_number(place) else place,
        }
    return moved


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _object(value: object) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def _value(entry: object, key: str) -> str:
    return str(entry.get(key) if isinstance(entry, dict) else entry)
