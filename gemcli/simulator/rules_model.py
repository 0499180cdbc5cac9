"""The model `simulator/rules`: the first rule of a file that is for a message replies to it."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from functools import partial
from typing import NamedTuple

from gemcli.chat.contents import function_responses, group_turns, text_of
from gemcli.simulator import echo_model, responses
from gemcli.simulator.api_errors import invalid_argument
from gemcli.simulator.read_request import Message
from gemcli.simulator.read_rules import load
from gemcli.simulator.replies import Outcome, ScriptedReply
from gemcli.simulator.rules import Rule, Rules, When
from gemcli.simulator.simulated_api import Model, SimulatedApp, application
from gemcli.text import patterns, strict_json

NAME = "simulator/rules"
"""The model's name on the wire, whatever its file."""


class Incoming(NamedTuple):
    """What the conditions of a rule look at: the model asked, and the request's last Content."""

    model: str
    text: str
    turn: int
    """The number of the user's message, from 1."""
    answered: tuple[str, ...]
    """The functions whose responses the Content carries."""


def incoming(model: str, request: Message) -> Incoming:
    """What a checked request asks of this model."""
    contents = request["contents"]
    answered = tuple(response["name"] for response in function_responses(contents[-1]))
    return Incoming(model, text_of(contents[-1]), len(group_turns(contents)), answered)


def choose_rule(rules: Sequence[Rule], message: Incoming, used: Sequence[int]) -> int | None:
    """The index of the first rule for `message`; `used` is how often each was used before."""
    for index, rule in enumerate(rules):
        is_used_up = rule.times is not None and used[index] >= rule.times
        if not is_used_up and _is_met(rule.when, message):
            return index
    return None


class RulesModel:
    """The model, which may go by several names; it counts how often each rule was used."""

    def __init__(self, rules: Rules) -> None:
        self.rules = rules
        self.used = [0] * len(rules.rules)  # the only state of the simulator
        self._lock = threading.Lock()

    def named(self, name: str) -> Model:
        """The model as it answers to `name`."""
        return partial(self._answer, name)

    def _answer(self, name: str, request: Message) -> ScriptedReply:
        message = incoming(name, request)
        with self._lock:
            index = choose_rule(self.rules.rules, message, self.used)
            if index is not None:
                self.used[index] += 1
        if index is None:
            what = f"message {message.turn} to {name}: {strict_json.dumps(message.text[:60])}"
            raise invalid_argument(f"No rule of {self.rules.name} takes {what}")
        rule = self.rules.rules[index]
        return ScriptedReply(_outcome(rule, request), rule.delay, rule.drip, rule.cut)


def rules_app(text: str, name: str) -> SimulatedApp:
    """The API with the one model `simulator/rules`; raises what `load` raises."""
    return application({NAME: RulesModel(load(text, name)).named(NAME)})


def _is_met(when: When, message: Incoming) -> bool:
    """Whether every condition that is given is met."""
    return (
        (when.contains is None or when.contains in message.text)
        and (when.matches is None or _matches(when.matches.pattern, message.text))
        and (when.turn is None or when.turn == message.turn)
        and (when.after_call is None or when.after_call in message.answered)
        and (when.model is None or when.model == message.model)
    )


def _matches(pattern: str, text: str) -> bool:
    """Whether a rule's pattern is found in a message."""
    try:
        return patterns.found(pattern, text)
    except patterns.TooSlow:
        what = f"The pattern {strict_json.dumps(pattern[:60])} takes too long"
        raise invalid_argument(what) from None


def _outcome(rule: Rule, request: Message) -> Outcome:
    """What a rule replies; one without a reply lets the echo answer."""
    if rule.answer is not None:
        return responses.answer(
            request,
            NAME,
            rule.answer.parts,
            rule.answer.finish,
            finish_message=rule.answer.finish_message,
            usage=rule.answer.usage,
        )
    if rule.block is not None:
        return responses.blocked(request, NAME, rule.block)
    return rule.error or rule.raw or echo_model.answer(request)
