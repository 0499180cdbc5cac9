"""What gemcli prints for people and programs, and no command of its own reads back."""

from __future__ import annotations

from gemcli.text import strict_json

MARKDOWN = "# Conversation with "
"""How Markdown of `gemcli export` begins."""


def hint(text: str) -> str | None:
    """What to use instead of a text that gemcli has printed; None if it is anything else."""
    first, _, _ = text.partition("\n")
    if first.startswith(MARKDOWN):
        return "Markdown is for reading; gemcli export contents -s NAME can be read back"
    if _is_turn(first):
        return (
            "this is the output of gemcli history;"
            " use gemcli export contents -s NAME, or gemcli history -s NAME --contents"
        )
    return None


def _is_turn(line: str) -> bool:
    """Whether a line is a turn as `gemcli history` prints it."""
    try:
        value = strict_json.loads(line)
    except ValueError:
        return False
    return isinstance(value, dict) and {"turn", "state", "user"} <= value.keys()
