"""Rules files: what the model `simulator/rules` answers, how, and where it fails.

A rules file is YAML in which every scalar is text as written, except where a number is expected and
in `args` and `parts`, which are plain YAML. It is a list of rules. The first one that takes a
message replies to it:

    rules:
      - when: {contains: weather}                # the model asks for a function
        answer:
          thoughts: The tool knows.
          calls: [{name: get_weather, args: {city: Boston}, id: c1}]
          signature: c2ln
      - when: {after_call: get_weather}          # the function has answered
        answer: It is sunny in Boston.
      - when: {matches: '(?i)^hello'}            # the first time busy, then a slow stream
        times: 1
        error: {status: UNAVAILABLE, retry_delay: 1s}
      - when: {matches: '(?i)^hello'}
        drip: 200ms
        answer: Hello yourself, and welcome to the simulator.
      - when: {turn: 3}                          # the connection breaks in the middle
        cut: {after: 2 chunks, how: reset}
        answer: This is an answer that nobody will ever see the end of.
      - when: {contains: poem}
        answer: {text: "Roses are red, viol", finish: MAX_TOKENS}
      - when: {contains: bomb}
        block: SAFETY
      - {}                                       # everything else goes to simulator/echo

`when` holds conditions, all of which must be met; without it a rule takes every message.

    contains    this text is in the message: the text of the last Content
    matches     this regular expression (Python's) is found in it
    turn        it is this one of the user's messages, counted from 1; function responses are none
    after_call  the last Content answers a call of this function
    model       this model was asked; the server then answers to that name too

`times: N` lets a rule take N messages only, and then the next one that fits. It is the only state
there is: it lives as long as the server, or one command of gemcli. Prefer `turn` where that will
do.

What is replied is one of four things; a rule without any lets `simulator/echo` answer.

    answer      text, or a mapping:
                text, thoughts    what the model says, and what it thinks first
                calls             function calls: name, args, id
                signature         a thoughtSignature (base64): on the first call, or else on a last, empty part
                parts             Parts as on the wire, in place of these four
                finish            the finishReason, else STOP; finish_message explains it
                usage             counts in place of those of the simulator, like thoughts_token_count: 90
    block       the blockReason of a prompt that is not answered at all
    error       a google.rpc status, or a mapping: status, message, and typed details:
                retry_delay       RetryInfo: 2.5s
                quota_id          QuotaFailure: GenerateRequestsPerDayPerProjectPerModel-FreeTier
                reason            ErrorInfo: API_KEY_INVALID
                field             BadRequest: contents[0]
                headers           HTTP headers, like retry-after: 3
    raw         the body of a 200, or a mapping: status, headers, body (text)

How it is replied:

    delay       time before anything is sent: 0.5, 2s or 500ms
    drip        time between the chunks of a stream, or between every 64 bytes of a body in one piece
    cut         where it breaks off, `reset`, or a mapping:
                after             that much was sent, or all there is: 30 bytes, 2 chunks; else nothing
                how               reset, close (before the end) or clean (as if that had been the end)
                error             instead of how: an error in the stream, as above

Answers come as they are written: no limit or stop sequence of the request cuts them.
"""

from __future__ import annotations

from dataclasses import dataclass

from gemcli.simulator.rules_schema import FILE, Rule
from gemcli.text import yaml_tree
from gemcli.text.problems import Problems


@dataclass(frozen=True)
class Rules:
    """The rules of a file, in order, and what messages call the file."""

    name: str
    rules: tuple[Rule, ...]

    @property
    def models(self) -> tuple[str, ...]:
        """The model names that conditions ask for, each once."""
        models = [rule.when.model for rule in self.rules if rule.when.model is not None]
        return tuple(dict.fromkeys(models))


def load(text: str, name: str) -> Rules:
    """Read a rules file; `name` is what messages call it.

    Raises `GemcliError` SETTINGS with every problem at once, each with line and column.
    """
    problems = Problems()
    node = yaml_tree.load(text, problems)
    rules = () if node is None else FILE(problems, "a rules file", node)
    problems.require_none(name)
    return Rules(name, rules)
