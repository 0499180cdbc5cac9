"""What a document may hold: the kinds that have rules of their own."""

from __future__ import annotations

import pytest

from gemcli.text.schema import compiled

NO_PATTERNS = ["(", "[", "a**", "(?P<a>b)(?P<a>c)", "*", "(?z)", "a{3,2}", "(" * 5000, "a{99999999999999}"]


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("pattern", NO_PATTERNS, ids=lambda pattern: pattern[:9])
def test_regular_expressions(pattern: str) -> None:
    """A pattern that Python does not take is refused with its words; what it only warns of is taken in silence."""
    with pytest.raises(ValueError, match=r"."):
        compiled(pattern)
    assert compiled("[[a]").search("[")
