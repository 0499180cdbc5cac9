"""The model `simulator/rules`: the first rule of a file that is for a message replies to it."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from typing import NamedTuple

from gemcli.chat.answered_calls import is_among
from gemcli.chat.contents import FunctionResponse, function_responses, group_turns, text_of
from gemcli.simulator import continuation, echo_model, long_answers, responses
from gemcli.simulator.api_errors import invalid_argument
from gemcli.simulator.continuation import Place
from gemcli.simulator.read_request import Message
from gemcli.simulator.read_rules import load
from gemcli.simulator.replies import ScriptedReply
from gemcli.simulator.rules import AfterCall, Rule, Rules, When
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
    answered: Sequence[FunctionResponse]
    """The responses of functions that the Content carries."""
    hop: int = 1
    """The number of the hop that is asked for."""


def incoming(model: str, request: Message, hop: int = 1) -> Incoming:
    """What a checked request asks of this model."""
    contents = request["contents"]
    answered = function_responses(contents[-1])
    return Incoming(model, text_of(contents[-1]), len(group_turns(contents)), answered, hop)


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
        place = continuation.place_of(request)
        message = incoming(name, request, place.hop)
        index = self._take(message)
        if index is not None:
            rule = self.rules.rules[index]
            if place.hop == 1 or rule.replies:
                place = Place(place.hop, index, output=place.output)
        elif place.hop == 1:
            what = f"message {message.turn} to {name}: {strict_json.dumps(message.text[:60])}"
            raise invalid_argument(f"No rule of {self.rules.name} takes {what}")
        else:
            rule = replace(self._begun(place), cut=None)
        scripted = _reply(self._begun(place), place, request)
        return replace(scripted, delay=rule.delay, drip=rule.drip, cut=rule.cut)

    def _take(self, message: Incoming) -> int | None:
        """The index of the rule that takes the message, and count it as used."""
        with self._lock:
            index = choose_rule(self.rules.rules, message, self.used)
            if index is not None:
                self.used[index] += 1
        return index

    def _begun(self, place: Place) -> Rule:
        """The rule whose answer goes on at a place."""
        if place.rule >= len(self.rules.rules):  # the rules were changed since
            raise invalid_argument(continuation.NOT_VALID)
        return self.rules.rules[place.rule]


def rules_app(text: str, name: str) -> SimulatedApp:
    """The API with the one model `simulator/rules`; raises what `load` raises."""
    return application({NAME: RulesModel(load(text, name)).named(NAME)})


def _is_met(when: When, message: Incoming) -> bool:
    """Whether every condition that is given is met."""
    return (
        when.hop == message.hop
        and (when.contains is None or when.contains in message.text)
        and (when.matches is None or _matches(when.matches.pattern, message.text))
        and (when.turn is None or when.turn == message.turn)
        and (when.after_call is None or _has_answered(when.after_call, message.answered))
        and (when.model is None or when.model == message.model)
    )


def _has_answered(call: AfterCall, responses: Sequence[FunctionResponse]) -> bool:
    """Whether a function has answered, and so."""
    return any(
        response["name"] == call.name and is_among(call.result, response.get("response", {}))
        for response in responses
    )


def _matches(pattern: str, text: str) -> bool:
    """Whether a rule's pattern is found in a message."""
    try:
        return patterns.found(pattern, text)
    except patterns.TooSlow:
        what = f"The pattern {strict_json.dumps(pattern[:60])} takes too long"
        raise invalid_argument(what) from None


def _reply(rule: Rule, place: Place, request: Message) -> ScriptedReply:
    """What a rule replies from a place on; one without a reply lets the echo answer."""
    if rule.answer is not None:
        return long_answers.reply(rule.answer, place, request, NAME)
    if rule.block is not None:
        return ScriptedReply(responses.blocked(request, NAME, rule.block, place.output))
    return ScriptedReply(rule.error or rule.raw or echo_model.answer_from(place, request))
