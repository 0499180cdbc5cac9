"""Shapes: whether a JSON value can be read as an answer or a config at all, before anyone looks inside.

What has passed here can be handled without further care; what has not is named, never half read.
"""

from __future__ import annotations

from typing import Any

from gemcli.chat import turn_order
from gemcli.chat.contents import Content


def answer_fault(answer: Any) -> str | None:
    """What keeps a value from being a GenerateContentResponse, as far as gemcli reads one.

    None if nothing.
    """
    if not isinstance(answer, dict):
        return "not an object"
    for name in ("promptFeedback", "usageMetadata"):
        if not isinstance(answer.get(name) or {}, dict):
            return f"`{name}` is not an object"
    candidates = answer.get("candidates") or []
    if not isinstance(candidates, list) or not all(
        isinstance(candidate, dict) for candidate in candidates
    ):
        return "`candidates` is not a list of objects"
    return next((fault for candidate in candidates if (fault := _candidate_fault(candidate))), None)


def config_fault(config: Any) -> str | None:
    """What keeps a value from being a config in REST form; None if nothing.

    `settings.check` says more.
    """
    if not isinstance(config, dict):
        return "not an object"
    if not isinstance(config.get("generationConfig", {}), dict):
        return "`generationConfig` is not an object"
    if "systemInstruction" in config:
        return _content_fault("systemInstruction", config["systemInstruction"])
    return None


def content_of(answer: dict[str, Any] | None) -> Content:
    """The model Content of an answer's first candidate, as received.

    An empty one when there is none.
    """
    candidates = (answer or {}).get("candidates") or [{}]
    content: Content = candidates[0].get("content") or {"role": "model", "parts": []}
    return content


def _candidate_fault(candidate: dict[str, Any]) -> str | None:
    if not isinstance(candidate.get("finishReason") or "", str):
        return "`finishReason` is not text"
    return _content_fault("content", candidate.get("content") or {})


def _content_fault(name: str, content: Any) -> str | None:
    """What keeps a value from being a Content, whatever its role, and whether or not it has parts."""
    if not isinstance(content, dict):
        return f"`{name}` is not an object"
    parts = content.get("parts")
    readable = {**content, "role": "model", "parts": [] if parts is None else parts}
    problem = next(turn_order.shape(0, readable), None)
    return f"`{name}`: {problem.message}" if problem else None
