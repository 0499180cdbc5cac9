"""The request behind the last answer.

A complete generateContent body, or a curl command that sends it.
"""

from __future__ import annotations

import json
import shlex
from collections.abc import Mapping
from typing import Any

from gemcli.chat.contents import Content
from gemcli.errors import GemcliError


def dump(history: list[Content], header: Mapping[str, Any]) -> dict[str, Any]:
    """The body of the request that the last answer of the history answered.

    Its Contents and the session's config.

    Raises `GemcliError` (NOT_EXPRESSIBLE) for an empty history: a request has at least one Content.
    """
    last = max(
        (place for place, content in enumerate(history) if content["role"] == "user"), default=None
    )
    if last is None:
        raise GemcliError(
            "NOT_EXPRESSIBLE",
            "the history is empty, so there is no request",
            hint="send a message first",
        )
    return {"contents": history[: last + 1], **header["config"]}


def curl(request: dict[str, Any], *, credentials: bool) -> str:
    """A shell command that sends `request` (`url` and `body`).

    It reads the key from the environment when it runs.

    The body comes by standard input, because arguments have a size limit; on one line, it cannot
    hold the line that ends it. It is ASCII, so that every text survives. `credentials`: Google
    Cloud's instead of a key.
    """
    key = "x-goog-api-key: ${GOOGLE_API_KEY:-$GEMINI_API_KEY}"
    if credentials:
        key = "Authorization: Bearer $(gcloud auth print-access-token)"
    body = json.dumps(request["body"], separators=(",", ":"), allow_nan=False)
    return (
        f"curl --silent --show-error {shlex.quote(request['url'])} \\\n"
        f'  --header "{key}" --header "Content-Type: application/json" \\\n'
        f"  --data-binary @- <<'END'\n{body}\nEND\n"
    )
