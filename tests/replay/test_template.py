"""Templates: put in once, and nothing in a value means anything."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gemcli.replay.template import faults, names, render

VALUES = st.text() | st.sampled_from(
    ["{{a}}", "{{b}}", "}}", "{{", "$&", r"\1", r"\g<0>", "{", "}", "a}}{{b", "%s", "\\"]
)


@given(VALUES, VALUES)
def test_a_value_is_put_in_once(a: str, b: str) -> None:
    """Whatever is in a value, it arrives as it is, and is not looked at again."""
    texts = {"a": a, "b": b}
    assert render("{{a}}", texts) == a
    assert render("<{{a}}|{{ b }}|{{a}}>", texts) == f"<{a}|{b}|{a}>"
    assert render("{{a|json}}{{b|trim}}", texts) == json.dumps(a, ensure_ascii=False) + b.strip()


@given(st.text() | st.text(alphabet="{} ab|\n.1"))
def test_text_around_templates_stays(text: str) -> None:
    """Without a name in it text is what it was; with names only those change."""
    found = names(text)
    if not found:
        assert render(text, {}) == text
        assert {rule for rule, _ in faults(text, ())} <= {"template"}
    elif not [rule for rule, _ in faults(text, found) if rule == "filter"]:
        assert names(render(text, dict.fromkeys(found, "*"))) == []


@pytest.mark.parametrize(
    ("text", "rendered"),
    [
        ("{{a}}", "1"),
        ("{{ a }}", "1"),
        ("{{\ta\t}}", "1"),
        ("{{a|trim}}", "1"),
        ("{{ a | json }}", '" 1 "'),
        ("{{{a}}}", "{1}"),
        ("{{{{a}}}}", "{{1}}"),
        ("{{a}}{{a}}", "11"),
        ("{{a}", "{{a}"),
        ("{a}}", "{a}}"),
        ("{{}}", "{{}}"),
        ("{{ }}", "{{ }}"),
        ("{{a b}}", "{{a b}}"),
        ("{{a.b}}", "{{a.b}}"),
        ("{{.a}}", "{{.a}}"),
        ("{{1a}}", "{{1a}}"),
        ("{{a-b}}", "{{a-b}}"),
        ("{{\na}}", "{{\na}}"),
        ("{{a|}}", "{{a|}}"),
        ("{{ä}}", "{{ä}}"),
        ("{{#if a}}", "{{#if a}}"),
        ("{{'a'}}", "{{'a'}}"),
    ],
)
def test_what_is_a_template(text: str, rendered: str) -> None:
    """A name between two pairs of braces is one, with spaces and a filter perhaps; all else is text."""
    value = " 1 " if "|" in text else "1"
    assert render(text, {"a": value}) == rendered


def test_names_and_faults() -> None:
    """Names come as often as they stand there; those that nothing has, and filters that are none, in order."""
    assert names("{{b}} {{a|json}} {{ b }} {{x y}}") == ["b", "a", "b"]
    found = [("undefined", "b"), ("undefined", "c"), ("filter", "up"), ("filter", "up")]
    assert faults("{{a}} {{b|trim}} {{c|up}} {{a|up}}", ["a"]) == found
    assert faults("{{a}}", ["a", "b"]) == []


@pytest.mark.parametrize("start", ["{{", "{{ "])
@pytest.mark.parametrize("inner", ["a.b", "a . b", "a|", "a|trim|json", "a[0]", "f(x)", "#if a", "/if"])
def test_expressions_of_others_are_faults(start: str, inner: str) -> None:
    """What another language would replace is no text that somebody wants to send."""
    text = f"{start}{inner}}}}}"
    assert faults(f"x {text} y", ["a"]) == [("template", text)]


@pytest.mark.parametrize("text", ["{% if a %}", "{%- else -%}", "{%+ set a = 'b' %}"])
def test_statements_of_others_are_faults(text: str) -> None:
    """What another language would run is none either."""
    assert faults(f"x {text} y", ["a"]) == [("template", text)]


@pytest.mark.parametrize(
    "text", ["{{a b}}", "{{a+b}}", r"\frac{{1}}{{x}^2}", "{%", "\\foo{%\n 5%}", "{{.a}}", "{{a.\nb}}", "{{}}"]
)
def test_braces_of_others_are_text(text: str) -> None:
    """LaTeX and code have braces, too."""
    assert faults(text, ["a"]) == []
