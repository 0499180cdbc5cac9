"""Documents that people write as JSON or as YAML, told apart by how they begin."""

from __future__ import annotations

from gemcli.text import json_tree, yaml_tree
from gemcli.text.problems import Problems
from gemcli.text.tree import Node, Text


def load(text: str, file: str, problems: Problems) -> Node | None:
    """Read one document; None if it is empty, or wrong: `problems` has then everything found.

    What looks like JSON and is none may be YAML, but for a `file` that is called .json.
    """
    node = _json(text, file, problems)
    if node is None and not problems:
        node = yaml_tree.load(text, problems)
    return None if isinstance(node, Text) and node.plain and not node else node


def _json(text: str, file: str, problems: Problems) -> Node | None:
    if not text.lstrip().startswith(("[", "{")):
        return None
    found = Problems(problems.file)
    node = json_tree.load(text, found)
    if node is not None or file.endswith(".json"):
        problems.include(found)
    return node
