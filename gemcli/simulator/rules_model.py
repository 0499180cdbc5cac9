"""The model that plays a rules file: which rule takes a message, and what then happens."""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any, NamedTuple

from gemcli.chat.contents import function_responses, group_turns, text_of
from gemcli.simulator import echo_model, responses
from gemcli.simulator.api_errors import Refused, invalid
from gemcli.simulator.delivery import Scripted
from gemcli.simulator.replies import Reply
from gemcli.simulator.rules import Rules, load
from gemcli.simulator.rules_schema import Rule, When
from gemcli.simulator.simulated_api import App, Model, application
from gemcli.text import strict_json

NAME = "simulator/rules"
"""The model that answers by rules, on the wire.

Which file it plays is settled when it is mounted.
"""


class Asked(NamedTuple):
    """What the conditions of a rule look at.

    The model, and the message as the request's last Content has it.

    `turn` is the number of the user's message from 1, `answered` the functions whose responses it
    carries.
    """

    model: str
    text: str
    turn: int
    answered: tuple[str, ...]


def asked(model: str, request: Mapping[str, Any]) -> Asked:
    """What a checked request asks of this model."""
    contents = request["contents"]
    answered = tuple(response["name"] for response in function_responses(contents[-1]))
    return Asked(model, text_of(contents[-1]), len(group_turns(contents)), answered)


def choose(rules: Sequence[Rule], message: Asked, used: Sequence[int]) -> int | None:
    """The index of the first rule that takes `message`, None if none does.

    `used` says how often each rule was taken before, for those that are taken a number of times
    only.
    """
    for index, rule in enumerate(rules):
        if (rule.times is None or used[index] < rule.times) and _holds(rule.when, message):
            return index
    return None


def perform(rule: Rule, request: dict[str, Any]) -> Scripted:
    """What `rule` replies to a checked request; a rule that says nothing lets the echo answer."""
    return Scripted(_outcome(rule, request), rule.delay, rule.drip, rule.cut)


class Player:
    """Models that play the same rules, and count together how often each was taken.

    The simulator's only state.

    `used` are those counts, one for each rule; give another player's to go on where it stopped.
    """

    def __init__(self, rules: Rules, used: Sequence[int] | None = None) -> None:
        self.rules = rules
        self.used = list(used) if used is not None else [0] * len(rules.rules)
        self._guard = threading.Lock()

    def model(self, name: str) -> Model:
        """The model that goes by `name`."""
        return partial(self._answer, name)

    def _answer(self, name: str, request: dict[str, Any]) -> Scripted:
        message = asked(name, request)
        with self._guard:
            index = choose(self.rules.rules, message, self.used)
            if index is not None:
                self.used[index] += 1
        if index is None:
            text = strict_json.dumps(message.text[:60])
            raise invalid(
                f"No rule of {self.rules.name} takes message {message.turn} to {name}: {text}"
            )
        return perform(self.rules.rules[index], request)


def rules_app(text: str, name: str) -> App:
    """The API with the one model `simulator/rules`, which plays the rules in `text`.

    Messages call them `name`.

    Raises `GemcliError` SETTINGS with everything that is wrong with the rules.
    """
    return application({NAME: Player(load(text, name)).model(NAME)})


def _holds(when: When, message: Asked) -> bool:
    """Whether every condition that is given is met."""
    return (
        (when.contains is None or when.contains in message.text)
        and (when.matches is None or when.matches.search(message.text) is not None)
        and (when.turn is None or when.turn == message.turn)
        and (when.after_call is None or when.after_call in message.answered)
        and (when.model is None or when.model == message.model)
    )


def _outcome(rule: Rule, request: dict[str, Any]) -> dict[str, Any] | Refused | Reply:
    if rule.answer is not None:
        said = rule.answer
        return responses.answer(
            request,
            NAME,
            said.parts,
            said.finish,
            finish_message=said.finish_message,
            usage=said.usage,
        )
    if rule.block is not None:
        return responses.blocked(request, NAME, rule.block)
    return rule.error or rule.raw or echo_model.answer(request)
