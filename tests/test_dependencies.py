"""The bounds of the dependencies: below, what is needed; above, what more than the public interface is used of."""

from __future__ import annotations

import re
import subprocess
import sys
import tomllib
from importlib import metadata
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]

REQUIREMENTS: list[str] = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["dependencies"]

INTERNALS = {
    "click": {"terminal/usage_errors.py": ["make_parser", "is not one of", "unexpected extra argument"]},
    "google-genai": {
        "api/gemini.py": ["extra_body", "httpx_client", "async_client_args", "automatic_continuation"],
        "tools/function_host.py": ["_extra_utils"],
    },
    "httpx2": {"api/http.py": ["._transport", "send_request_headers.started"]},
    "pyyaml": {"text/yaml_tree.py": ["descend_resolver"]},
}
"""What is used of a dependency that is not promised, or only by the way: where, and by which words to find it.

click's parser and the words of its messages; how the SDK makes its clients, passes a body through and reads a stream,
and converts the arguments of functions;
which moments of a request the HTTP library reports, and whether it has a transport of its own; how nodes are
composed. A major version may change any of it without a word, so it must be tried before it is allowed.
"""


def bounds(requirement: str) -> tuple[str, str, str | None]:
    """Name, lowest version, and the version that is too high, if there is one."""
    parts = re.fullmatch(r"([a-z0-9-]+)>=([0-9.]+)(?:,<([0-9]+))?", requirement)
    assert parts, requirement
    return parts[1], parts[2], parts[3]


def test_bounded_above_is_what_internals_are_used_of() -> None:
    """Nothing else is: a bound without a reason keeps users from new versions."""
    assert {name for name, _, above in map(bounds, REQUIREMENTS) if above} == INTERNALS.keys()


@pytest.mark.parametrize("requirement", REQUIREMENTS)
def test_the_next_major_version_is_too_high(requirement: str) -> None:
    """A bound leaves the versions in that are known, and the one that is installed; and its reason still stands."""
    name, lowest, above = bounds(requirement)
    major = int(metadata.version(name).split(".")[0])
    assert int(lowest.split(".")[0]) <= major
    if above is None:
        return
    assert int(above) == int(lowest.split(".")[0]) + 1 == major + 1
    for file, words in INTERNALS[name].items():
        code = (ROOT / "gemcli" / file).read_text()
        assert [word for word in words if word not in code] == []


def test_lowest_versions() -> None:
    """scripts/lowest.py prints a constraint for each dependency."""
    command = [sys.executable, "scripts/lowest.py"]
    printed = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout
    assert printed.splitlines() == [f"{name}=={lowest}" for name, lowest, _ in map(bounds, REQUIREMENTS)]
