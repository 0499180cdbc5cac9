"""What the values of settings may be.

The kinds of values that the table in `settings` is written with.

A kind reads its values from text (an option, a scalar in YAML) and finds what is wrong with a value
in REST form. Reading never fails: text that stands for no value stays text, and is then found to be
wrong like any other value. So a value is judged in one place, wherever it came from.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, NamedTuple

from gemcli.errors import did_you_mean
from gemcli.text.yaml_tree import Mapping, Node, Sequence, Text, plain_value

Path = tuple[str | int, ...]
"""Where in a REST body: keys and list indexes, from the top."""


class Fault(NamedTuple):
    """One thing wrong with a value.

    `path` leads to it, `message` goes on from its name ("must be …, not …").
    """

    rule: str
    message: str
    path: Path = ()
    hint: str | None = None

    def under(self, *path: str | int) -> Fault:
        """The same fault, seen from the container that holds the value at `path`."""
        return self._replace(path=(*path, *self.path))


@dataclass(frozen=True, kw_only=True)
class Kind:
    """What the values of a setting may be; `expected` says it in words, `hint` why or how."""

    expected: str = "text"
    hint: str | None = None

    def accepts(self, value: Any) -> bool:
        """Whether `value`, in REST form, is one of this kind, seen from outside."""
        raise NotImplementedError

    def faults(self, value: Any) -> Iterator[Fault]:
        """Everything wrong with `value`, in REST form."""
        if not self.accepts(value):
            yield Fault(
                "value", f"must be {self.expected}, not {show(value)}", hint=self.advice(value)
            )

    def advice(self, value: Any) -> str | None:  # noqa: ARG002 - for kinds that can tell what was meant
        """A hint for a value that is not accepted."""
        return self.hint

    def read(self, text: str) -> Any:
        """The value that `text` stands for.

        The text itself, for `faults` to find, when it stands for none.
        """
        return text

    def from_node(self, node: Node) -> Any:
        """The value that a YAML tree stands for.

        Raises `GemcliError` for numbers that JSON cannot hold.
        """
        return self.read(str(node)) if isinstance(node, Text) else plain_value(node)


@dataclass(frozen=True, kw_only=True)
class Words(Kind):
    """Text, not empty."""

    expected: str = "text"

    def accepts(self, value: Any) -> bool:
        """Text, but not ""."""
        return isinstance(value, str) and value != ""


@dataclass(frozen=True, kw_only=True)
class Unquoted(Kind):
    """A kind whose values are no text, and are therefore not read from quoted text."""

    def from_node(self, node: Node) -> Any:
        """The value of unquoted text; everything else as it is."""
        return str(node) if isinstance(node, Text) and not node.plain else super().from_node(node)


@dataclass(frozen=True, kw_only=True)
class Flag(Unquoted):
    """A boolean."""

    expected: str = "true or false"

    def accepts(self, value: Any) -> bool:
        """A boolean, and nothing that merely counts as one."""
        return isinstance(value, bool)

    def read(self, text: str) -> Any:
        """`true` and `false` as booleans, in any case."""
        return {"true": True, "false": False}.get(text.lower(), text)


_NUMBER = re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?")
INT32_MAX = 2**31 - 1


@dataclass(frozen=True, kw_only=True)
class Number(Unquoted):
    """A number from `low` to `high`, both included; with `whole` an integer.

    Booleans are not numbers.
    """

    low: int
    high: int
    whole: bool = False

    def accepts(self, value: Any) -> bool:
        """A number in range; NaN never is. Whole numbers may be written 40.0, as the SDK does."""
        return (
            type(value) in (int, float)
            and self.low <= value <= self.high
            and not (self.whole and value % 1)
        )

    def read(self, text: str) -> Any:
        """The number written in decimal digits: an int if `whole` and it is one, else a float."""
        if not _NUMBER.fullmatch(text):
            return text
        number = float(text)
        return int(number) if self.whole and number.is_integer() else number


@dataclass(frozen=True, kw_only=True)
class Choice(Kind):
    """One of the API's names. In text its case does not matter, and `prefix` may be left out."""

    values: tuple[str, ...]
    prefix: str = ""
    expected: str = "one of the API's names"

    def accepts(self, value: Any) -> bool:
        """One of the names, exactly as the API writes it."""
        return value in self.values if isinstance(value, str) else False

    def advice(self, value: Any) -> str | None:
        """The nearest name, or all of them."""
        near = did_you_mean(self._fold(value), self.words()) if isinstance(value, str) else None
        return near or f"one of {', '.join(self.words())}"

    def read(self, text: str) -> Any:
        """The name that `text` stands for."""
        folded = self._fold(text)
        return next((value for value in self.values if folded == self._short(value)), text)

    def words(self) -> list[str]:
        """The short names, without the API's placeholder for no choice."""
        return [
            self._short(value) for value in self.values if not value.lower().endswith("unspecified")
        ]

    def _short(self, value: str) -> str:
        return value.removeprefix(self.prefix).lower()

    def _fold(self, text: str) -> str:
        return text.lower().replace("-", "_").removeprefix(self.prefix.lower())


@dataclass(frozen=True, kw_only=True)
class Container(Kind):
    """An object (`type_` dict) or a list whose inside is the API's business."""

    type_: type = dict
    expected: str = "an object"

    def accepts(self, value: Any) -> bool:
        """An object, or a list, whatever is in it."""
        return isinstance(value, self.type_)


@dataclass(frozen=True, kw_only=True)
class ListOf(Kind):
    """A list of `item`s: at most `most`, and no two with the same value of the key `unique`."""

    item: Kind
    most: int | None = None
    unique: str | None = None
    expected: str = "a list"

    def accepts(self, value: Any) -> bool:
        """A list, whatever is in it."""
        return isinstance(value, list)

    def faults(self, value: Any) -> Iterator[Fault]:
        """What is wrong with the list, or with its items."""
        yield from super().faults(value)
        if not isinstance(value, list):
            return
        if self.most is not None and len(value) > self.most:
            yield Fault("value", f"must have at most {self.most} items, not {len(value)}")
        for index, item in enumerate(value):
            for fault in self.item.faults(item):
                yield fault.under(index)
        if self.unique:
            keys = [item.get(self.unique) if isinstance(item, dict) else None for item in value]
            for index, key in enumerate(keys):
                if isinstance(key, str) and key in keys[:index]:
                    yield Fault("duplicate", f"repeats the {self.unique} {key}", (index,))

    def from_node(self, node: Node) -> Any:
        """The items' values, in order."""
        return (
            [self.item.from_node(item) for item in node]
            if isinstance(node, Sequence)
            else super().from_node(node)
        )


@dataclass(frozen=True, kw_only=True)
class Labels(Kind):
    """An object whose values are text."""

    expected: str = "an object of texts"

    def accepts(self, value: Any) -> bool:
        """An object, whatever is in it."""
        return isinstance(value, dict)

    def faults(self, value: Any) -> Iterator[Fault]:
        """What is wrong with the object, or with its values."""
        yield from super().faults(value)
        for key, text in value.items() if isinstance(value, dict) else ():
            if not isinstance(text, str):
                yield Fault("value", f"must be text, not {show(text)}", (key,))

    def from_node(self, node: Node) -> Any:
        """The object; every scalar in it is text."""
        if not isinstance(node, Mapping):
            return super().from_node(node)
        return {
            str(key): str(text) if isinstance(text, Text) else plain_value(text)
            for key, text in node.items()
        }


@dataclass(frozen=True, kw_only=True)
class Safety(Kind):
    """A safety setting: a category and its threshold, written `CATEGORY=THRESHOLD` in text."""

    expected: str = "CATEGORY=THRESHOLD or an object with category and threshold"
    hint: str | None = "like harassment=none"

    def accepts(self, value: Any) -> bool:
        """An object with both keys."""
        return isinstance(value, dict) and "category" in value and "threshold" in value

    def faults(self, value: Any) -> Iterator[Fault]:
        """What is wrong with the setting, or with one of its values."""
        yield from super().faults(value)
        for key, name in value.items() if isinstance(value, dict) else ():
            if key not in SAFETY_KEYS:
                hint = did_you_mean(key, SAFETY_KEYS)
                yield Fault("unknown-key", "is not part of a safety setting", (key,), hint)
            else:
                for fault in SAFETY_KEYS[key].faults(name):
                    yield fault.under(key)

    def read(self, text: str) -> Any:
        """The object that CATEGORY=THRESHOLD stands for."""
        category, equals, threshold = text.partition("=")
        if not equals:
            return text
        return {
            "category": HARM_CATEGORY.read(category.strip()),
            "threshold": HARM_THRESHOLD.read(threshold.strip()),
        }

    def from_node(self, node: Node) -> Any:
        """The setting, from text or from a mapping."""
        if not isinstance(node, Mapping):
            return super().from_node(node)
        return {
            str(key): SAFETY_KEYS.get(key, Words()).from_node(value) for key, value in node.items()
        }


@dataclass(frozen=True, kw_only=True)
class Instruction(Kind):
    """A system instruction: a Content without a role that matters, or just its text."""

    expected: str = "text, or a Content: an object with a list of `parts`"
    hint: str | None = 'write {"parts": [{"text": "…"}]}'

    def accepts(self, value: Any) -> bool:
        """A Content with parts, none of them blank."""
        parts = value.get("parts") if isinstance(value, dict) else None
        return (
            isinstance(parts, list)
            and bool(parts)
            and all(isinstance(part, dict) and part for part in parts)
        )

    def faults(self, value: Any) -> Iterator[Fault]:
        """What is wrong with the Content, or with the text of one of its parts."""
        yield from super().faults(value)
        for index, part in enumerate(value["parts"] if self.accepts(value) else ()):
            if "text" in part:
                for fault in Words().faults(part["text"]):
                    yield fault.under("parts", index, "text")

    def read(self, text: str) -> Any:
        """The Content that says `text`."""
        return {"parts": [{"text": text}]}


HARM_CATEGORY = Choice(
    expected="a harm category",
    prefix="HARM_CATEGORY_",
    values=(
        "HARM_CATEGORY_UNSPECIFIED",
        "HARM_CATEGORY_HARASSMENT",
        "HARM_CATEGORY_HATE_SPEECH",
        "HARM_CATEGORY_SEXUALLY_EXPLICIT",
        "HARM_CATEGORY_DANGEROUS_CONTENT",
        "HARM_CATEGORY_CIVIC_INTEGRITY",
        "HARM_CATEGORY_JAILBREAK",
        "HARM_CATEGORY_IMAGE_HATE",
        "HARM_CATEGORY_IMAGE_DANGEROUS_CONTENT",
        "HARM_CATEGORY_IMAGE_HARASSMENT",
        "HARM_CATEGORY_IMAGE_SEXUALLY_EXPLICIT",
    ),
)
HARM_THRESHOLD = Choice(
    expected="a threshold",
    prefix="BLOCK_",
    values=(
        "HARM_BLOCK_THRESHOLD_UNSPECIFIED",
        "BLOCK_LOW_AND_ABOVE",
        "BLOCK_MEDIUM_AND_ABOVE",
        "BLOCK_ONLY_HIGH",
        "BLOCK_NONE",
        "OFF",
    ),
)
HARM_METHOD = Choice(
    expected="a method",
    prefix="HARM_BLOCK_METHOD_",
    values=("HARM_BLOCK_METHOD_UNSPECIFIED", "SEVERITY", "PROBABILITY"),
)
SAFETY_KEYS = {"category": HARM_CATEGORY, "threshold": HARM_THRESHOLD, "method": HARM_METHOD}
"""What a safety setting consists of; `method` is for Vertex AI and may be absent."""
THINKING_LEVEL = Choice(
    expected="a thinking level",
    values=("THINKING_LEVEL_UNSPECIFIED", "MINIMAL", "LOW", "MEDIUM", "HIGH", "XHIGH"),
)
MODALITY = Choice(
    expected="a modality", values=("MODALITY_UNSPECIFIED", "TEXT", "IMAGE", "AUDIO", "VIDEO")
)
MEDIA_RESOLUTION = Choice(
    expected="a media resolution",
    prefix="MEDIA_RESOLUTION_",
    values=(
        "MEDIA_RESOLUTION_UNSPECIFIED",
        "MEDIA_RESOLUTION_LOW",
        "MEDIA_RESOLUTION_MEDIUM",
        "MEDIA_RESOLUTION_HIGH",
    ),
)
SERVICE_TIER = Choice(
    expected="a service tier", values=("unspecified", "flex", "standard", "priority")
)


def number(low: int, high: int) -> Number:
    """The kind of numbers from `low` to `high`."""
    return Number(low=low, high=high, expected=f"a number from {low} to {high}")


def whole(low: int, high: int = INT32_MAX) -> Number:
    """The kind of integers from `low` to `high`; the API's are of 32 bits."""
    limits = f"from {low} to {high}" if high < INT32_MAX or low < -1 else f"of at least {low}"
    return Number(low=low, high=high, whole=True, expected=f"a whole number {limits}")


def show(value: Any) -> str:
    """A value in a message: scalars as JSON, cut after 40 characters; containers by their kind."""
    if value is None or value == "":
        return "empty"
    if isinstance(value, dict | list):
        return "an object" if isinstance(value, dict) else "a list"
    text = json.dumps(value, ensure_ascii=False, default=repr)
    return text if len(text) <= 40 else text[:39] + "…"
