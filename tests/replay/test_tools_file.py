"""A script that names a tools file: what is in it, and what is wrong with it."""

from __future__ import annotations

from pathlib import Path

from gemcli.replay import read_script
from tests.builders import error_from

FUNCTIONS = '[{"name": "f", "command": ["rm", "-r", "/"]}, {"name": "g", "parameters": {"type": "object"}}]'
SCRIPT = "tools: more/f.json\ntool_results: [{name: g, result: 1}]\nturns: [a]\n"


def test_a_tools_file(tmp_path: Path) -> None:
    """It stands beside the script that names it, wherever that is; no command of it gets into the config."""
    (tmp_path / "more").mkdir()
    (tmp_path / "more" / "f.json").write_text(FUNCTIONS)
    declared = [{"name": "f"}, {"name": "g", "parameters": {"type": "OBJECT"}}]
    suite = '{"script": {"tools": "more/f.json"}}\n{"turns": ["a"]}\n{"turns": ["b"], "tools": [{"name": "h"}]}'
    for text, name in ((SCRIPT, "s.yaml"), (suite, "s.jsonl")):
        scripts = read_script.load(text, str(tmp_path / name), {}).scripts
        assert scripts[0].config == {"tools": [{"functionDeclarations": declared}]}
    assert scripts[1].config == {"tools": [{"functionDeclarations": [{"name": "h"}]}]}


def test_a_tools_file_with_mistakes(tmp_path: Path) -> None:
    """Each is told with the file that it is in, beside those of the script."""
    script, functions = tmp_path / "s.yaml", tmp_path / "more" / "f.json"
    functions.parent.mkdir()
    for content, message in (
        ('[{"name": "7"}]', f"{functions}:1:11: `name` must be a name"),
        ("", f"{script}:1:8: {functions} is empty [tools-file]"),
        ("[{]", f"{functions}:1:3: "),
    ):
        functions.write_text(content)
        first, second = error_from(read_script.load, SCRIPT + "trun: 1", str(script), {}).problems
        assert first.describe().startswith(message) or second.describe().startswith(message)
        assert any(one.describe().startswith(f"{script}:4:1: `trun` is not a key") for one in (first, second))


def test_standard_input_is_none(tmp_path: Path) -> None:
    """A script cannot make gemcli wait for its declarations."""
    (problem,) = error_from(read_script.load, "tools: '-'\nturns: [a]", "s.yaml", {}).problems
    assert problem.describe() == "s.yaml:1:8: there is no file ./- [tools-file]"
