"""The tools file that a script names instead of declaring functions itself."""

from __future__ import annotations

import os

from gemcli.errors import GemcliError
from gemcli.terminal import inputs
from gemcli.text import json_or_yaml
from gemcli.text.problems import Problems
from gemcli.text.tree import Mapping, Node, Text
from gemcli.tools import declarations

KEY = Text("tools")


def include(problems: Problems, script: Node, file: str) -> None:
    """Put the declarations of the tools file that a script names in the place of its name.

    Its path is relative to `file`, the script's own. What cannot be read is left out, a problem.
    """
    named = script.get(KEY) if isinstance(script, Mapping) else None
    if not isinstance(script, Mapping) or not isinstance(named, Text) or not named:
        return
    node = _declarations(problems, named, os.path.join(os.path.dirname(file) or ".", named))
    if node is None:
        del script[KEY]
    else:
        script[KEY] = node


def _declarations(problems: Problems, named: Text, path: str) -> Node | None:
    """The sound content of a tools file."""
    try:
        text = inputs.document(path)
    except GemcliError as error:
        problems.add("tools-file", str(error), named)
        return None
    found = Problems(path)
    node = json_or_yaml.load(text, path, found)
    if node is None and not found:
        problems.add("tools-file", f"{path} is empty", named)
    if node is not None:
        declarations.read(found, "the file", node)
    problems.include(found)
    return None if found else node
