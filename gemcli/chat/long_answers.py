"""Answers that are longer than one request: which of them go on, and what they are worth. Pure.

Such an answer comes in hops, one for each request. A hop that is not the last one leaves a token,
and the next request resumes from it. Everything else, an answer in one piece, has one hop.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from gemcli.chat import answers
from gemcli.chat.answers import Answer, Verdict, content_of, continuation_token, first_candidate
from gemcli.chat.contents import Content, as_sent, merge_parts, parts_of, says_something
from gemcli.chat.merge_answers import merge
from gemcli.errors import GemcliError

# Going on


def is_unfinished(answer: Answer) -> bool:
    """Whether an answer goes on by itself: it left a token, and nothing ended it."""
    return _may_go_on(answer, (None, "CONTINUATION"))


def is_continuable(answer: Answer) -> bool:
    """Whether an answer goes on by itself, or with a larger limit of tokens."""
    return _may_go_on(answer, (None, "CONTINUATION", "MAX_TOKENS"))


def _may_go_on(answer: Answer, finish_reasons: Sequence[str | None]) -> bool:
    if continuation_token(answer) is None or answers.block_reason(answer):
        return False
    finish = first_candidate(answer).get("finishReason") or None
    # What the API would refuse stays so, whatever follows it.
    return finish in finish_reasons and not answers.breach(as_sent(content_of(answer)))


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
    hint = "send another message; what came before that is in the history"
    error = GemcliError("INCOMPLETE", f"the answer was cut off at hop {len(hops)}{why}", hint=hint)
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
    verdict = replace(answers.judge(answer), content=content(hops))
    if not is_unfinished(answer):
        return verdict
    error = GemcliError("INCOMPLETE", "the answer is not finished")
    return replace(verdict, valid=says_something(verdict.content), error=error)


def content(hops: Sequence[Answer]) -> Content:
    """The model Content that hops make, as it goes back to the API: plain neighbours are joined."""
    whole = content_of(merge(hops))
    if len(hops) > 1:
        whole = {**whole, "parts": merge_parts(parts_of(whole))}
    return as_sent(whole)
