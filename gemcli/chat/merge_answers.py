"""The hops of a long answer made one, as google-genai makes it. Pure.

Parts follow each other as they came, tokens are summed, the end is that of the last hop. Fields
that the SDK does not know, and drops, are kept: lists are joined, of other values the last one
counts.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, cast

from gemcli.chat.answers import Answer, UsageMetadata, token_count
from gemcli.chat.contents import parts_of

Json = Mapping[str, Any]

_OF_THE_LAST_HOP = ("finishReason", "finishMessage", "continuationToken")


def merge(hops: Sequence[Answer]) -> Answer:
    """The one answer that hops make: that of `merge_continuation_responses` in google-genai."""
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
        total = token_count(same, "tokenCount") + token_count(entry, "tokenCount")
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
