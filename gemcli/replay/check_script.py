"""What must hold between the parts of a sound script: ids, configs, templates.

The texts of a script are still the `Text` that was read, so problems know their places.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from itertools import islice

from gemcli.chat.answers import BLOCK_REASONS, FINISH_REASONS
from gemcli.replay import template
from gemcli.replay.check_functions import check_functions
from gemcli.replay.checks import PATTERNS
from gemcli.replay.script import Script, Turn
from gemcli.settings import config
from gemcli.text.problems import Place, Problems
from gemcli.text.schema import MAX_NAMES, compiled
from gemcli.text.tree import Text, shortened

MAX_CHARACTERS = 20_000_000
"""Longest messages of a conversation, all together: the API refuses requests of about this size."""

RULES = {
    "unquoted-message": "a message with a colon in it is in quotes",
    "empty-message": "a message says something",
    "empty-script": "a script has a message",
    "duplicate-id": "the ids of turns differ",
    "duplicate-name": "the names of a file's conversations differ",
    "function-call": "a conversation needs no responses of functions",
    "undefined": "a template names one of `vars`",
    "unused": "what --var defines is used",
    "template": "what looks like a template is one",
    "filter": "a template's filter is one of " + ", ".join(template.FILTERS),
    "system-template": "`system` has no templates, which are not filled in there (`--strict`)",
    "refusal-not-last": "only the last message is expected to be refused (`--strict`)",
    "torn-tail": "a session ends with a whole record (`--strict`)",
    "comment": "no text is lost to a comment (`--strict`)",
    "tools-file": "a tools file can be read",
    "undeclared": "what is said of a function is said of one that `tools` declare",
    "result-template": "`args` and `result` have no templates, which stay as they are (`--strict`)",
    "too-long": f"a conversation's messages have at most {MAX_CHARACTERS:,} characters",
    "too-many": "a file has at most 100,000 messages",
    "file": "`system` is text, and no @FILE",
}
"""The rules that only scripts have, by their stable names."""

_FILE = re.compile(r"@[^\s@]+")

REFUSALS = {
    *BLOCK_REASONS,
    *(name for name, reason in FINISH_REASONS.items() if reason not in (None, "INCOMPLETE")),
}
"""The ends of answers that never enter the history."""


def check_script(script: Script, problems: Problems) -> None:
    """Find what does not go together in a script."""
    _check_configs(script, problems)
    _check_ids(script, problems)
    check_functions(script, problems)
    for turn in script.turns[:-1]:
        if turn.expect.finish and REFUSALS.issuperset(turn.expect.finish):
            message = "a message after a refused one is never sent"
            hint = "make this the last turn, or a script of its own"
            problems.note("refusal-not-last", message, _message(turn), hint)
    templates = _Templates(script, problems)
    for turn in script.turns:
        templates.check_message(turn)
        if templates.length > MAX_CHARACTERS:
            break
        for check, text in expected_texts(turn):
            templates.check_expected(check, text)


def template_names(script: Script) -> set[str]:
    """The names in the templates of a script."""
    texts = [text for turn in script.turns for _, text in expected_texts(turn)]
    texts += [_message(turn) for turn in script.turns if not turn.raw]
    return {name for text in texts for name in template.names(text)}


def expected_texts(turn: Turn) -> Iterator[tuple[str, Text]]:
    """Every text that a turn's answer is searched for, with the name of its check."""
    for check, texts in turn.expect.texts.items():
        for text in texts:
            yield check, _placed(text)


def _message(turn: Turn) -> Text:
    return _placed(turn.content["parts"][0]["text"])


def _placed(text: str) -> Text:
    return text if isinstance(text, Text) else Text(text)


def _check_configs(script: Script, problems: Problems) -> None:
    """Refuse settings that are sound by themselves, and exclude each other together."""
    instruction = script.config.get("systemInstruction") or {"parts": [{}]}
    system = _placed(instruction["parts"][0].get("text", ""))
    templates = [f"{{{{{name}}}}}" for name in template.names(system)] + template.foreign(system)
    for written in templates[:1]:
        message = f"`{shortened(written)}` in `system` is sent as it is"
        hint = "templates are for messages and expectations"
        problems.note("system-template", message, system, hint)
    if _FILE.fullmatch(system):
        message = f"`{shortened(system)}` in `system` does not stand for the text of a file"
        command = f"gemcli new -s SESSION --system {shlex.quote(system)}"
        hint = f"write the text, or leave `system` out and make the session: {command}"
        problems.add("file", message, system, hint)
    own = config.check(script.config)
    for problem in own:
        problems.add(problem.rule, problem.message, system, problem.hint)
    for turn in script.turns if not own else ():
        merged = config.merge(script.config, turn.config)
        for problem in config.check(merged) if turn.config else ():
            message = f"{problem.message} (with the script's `config`)"
            problems.add(problem.rule, message, _message(turn), problem.hint)


def _check_ids(script: Script, problems: Problems) -> None:
    lines: dict[str, int] = {}
    for turn in script.turns:
        if turn.id in lines:
            place: Place = turn.id if isinstance(turn.id, Text) else _message(turn)
            message = f"`{turn.id}` is already the id of the turn in line {lines[turn.id]}"
            problems.add("duplicate-id", message, place)
        lines.setdefault(turn.id, turn.line)


class _Templates:
    """Checks the templates of one script."""

    def __init__(self, script: Script, problems: Problems) -> None:
        self.vars = script.vars
        self.problems = problems
        known = ", ".join(islice(self.vars, MAX_NAMES))
        self.hint = f"defined are {known}" if known else "define it in `vars`, or with --var"
        self.length = 0

    def check_message(self, turn: Turn) -> None:
        text = _message(turn)
        if not turn.raw and not self._is_defined(text, "; raw: true sends it as it is"):
            return
        self.length += len(text) if turn.raw else template.rendered_length(text, self.vars)
        if self.length > MAX_CHARACTERS:
            message = f"up to here, the messages have {self.length:,} characters"
            hint = f"a conversation has at most {MAX_CHARACTERS:,}"
            self.problems.add("too-long", message, text, hint)
            return
        if turn.rendered(self.vars)["parts"][0]["text"].strip():
            return
        filled = " once its templates are filled in" if text.strip() else ""
        # In YAML, what remains of `- # text` is empty and without quotes.
        advice = "put it in quotes if it begins with #" if text.plain and not text else None
        self.problems.add("empty-message", f"the message is empty{filled}", text, advice)

    def check_expected(self, check: str, text: Text) -> None:
        if not self._is_defined(text) or not template.names(text):
            return
        length = template.rendered_length(text, self.vars)
        if length > MAX_CHARACTERS:
            message = f"`{check}` has {length:,} characters once its templates are filled in"
            self.problems.add("too-long", message, text)
        elif check in PATTERNS:
            self._check_pattern(check, text)

    def _check_pattern(self, check: str, text: Text) -> None:
        try:
            compiled(template.render(text, self.vars))
        except ValueError as error:
            message = f"`{check}` is not a regular expression once its templates are filled in"
            self.problems.add("value", f"{message}: {error}", text)

    def _is_defined(self, text: Text, advice: str = "") -> bool:
        """Whether all templates in a text can be filled in; `advice` adds to the hint."""
        faults = dict.fromkeys(template.faults(text, self.vars))
        for rule, name in faults:
            if rule == "template":
                message = f"`{shortened(name)}` is no template, and would be sent as it is"
                hint = "templates are {{name}} and {{name|filter}}"
                self.problems.add(rule, message, text, hint + advice)
            elif rule == "filter":
                hint = f"the filters are {', '.join(template.FILTERS)}"
                self.problems.add(rule, f"unknown filter `{name}`", text, hint)
            else:
                near = self.problems.suggest(name, self.vars)
                message = f"`{{{{{name}}}}}` is not defined"
                self.problems.add(rule, message, text, near or self.hint + advice)
        return not faults
