"""Text from outside: nothing in it is acted on by a terminal, a bidi algorithm or Textual's markup."""

from __future__ import annotations

import re
from typing import Any

from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from rich.segment import Segment
from textual.color import Color
from textual.pilot import Pilot
from textual.widgets import Input, TextArea

from tests.tui.stage import Staged, app, play, settled, step
from tui.answers import AnswerWanted, FormWanted, WordWanted
from tui.edge import Edge
from tui.feed import Item
from tui.hygiene import document, harmless
from tui.screens.wizard import Wizard
from workflows.core.events import (
    Asked,
    Event,
    Lines,
    Noted,
    Progress,
    RunEnded,
    RunStarted,
    StepEnded,
    StepStarted,
    TaskChanged,
)
from workflows.core.failure import Failed
from workflows.core.fields import Choice, Field, Filled

EVIL = (
    "\x1b]0;PWNED\x07", "\x1b[2J", "\x1b]52;c;cHduZWQ=\x1b\\", "\x9b31m", "\x1bP1$r\x1b\\", "\u202egnp.exe",
    "\u2066x\u2069", "[bold red]x[/]", "[@click=app.leave]x[/]", "[link=http://evil]x", "[/nothing]", "\x07", "\x00",
    "\r", "\u200b", "\ufeff", "[internal] load", "$accent", "\\[x", "𝕊\U000e0041", "字\x1b[31m字", "e\u0301", "\u2028",
    "\ud800",
)  # fmt: skip
_ACTED_ON = re.compile(
    "[\x00-\x09\x0b-\x1f\x7f-\x9f\u200b-\u200f\u2028-\u202e\u2060-\u2069\ufeff\ud800-\udfff]"
)
TEXT = st.lists(st.sampled_from(EVIL) | st.text(max_size=6), max_size=4).map("".join)
SETTINGS = (
    settings(  # an example is a whole app: a failure is shown as it was found, not made smaller for minutes
        max_examples=15,
        deadline=None,
        suppress_health_check=list(HealthCheck),
        phases=(Phase.explicit, Phase.reuse, Phase.generate),
    )
)


@st.composite
def hostile(draw: st.DrawFn) -> list[Item]:
    """A run of the build step with hostile text wherever there is text, and something wanted at its end."""
    at = {"at": "2026-11-23T10:00:00.000Z", "step": "build"}
    found: list[Item] = [
        RunStarted(workflow=draw(TEXT), network=draw(TEXT), project="/" + draw(TEXT)),
        StepStarted(title=draw(TEXT), command=draw(TEXT), **at),
        TaskChanged(task=draw(TEXT), title=draw(TEXT), state="running", detail=draw(TEXT), **at),
        TaskChanged(task="two", title=draw(TEXT), state="failed", detail=draw(TEXT), **at),
        Lines(task="two", text=tuple(draw(st.lists(TEXT, max_size=5))), **at),
        Lines(task="three", text=(draw(TEXT),), **at),
        Progress(task="three", done=1, total=2, unit=draw(TEXT), **at),
        Noted(text=draw(TEXT), hint=draw(TEXT), level="error", **at),
        Noted(text=draw(TEXT) + "\n" + draw(TEXT), **at),
    ]
    outputs: dict[str, Any] = {
        "network": {"name": draw(TEXT), "simulated": True},
        "doctor": {"checks": [{"name": "engine", "text": draw(TEXT)}]},
        "result": {"folder": draw(TEXT), "files": [draw(TEXT)]},
    }
    error = {"name": draw(TEXT), "message": draw(TEXT), "hint": draw(TEXT)}
    end = draw(st.sampled_from(["question", "document", "secret", "form", "failure", "ended", "broken"]))
    if end in ("question", "document", "secret"):
        kind: Any = {"question": "confirm"}.get(end, end)
        asked = Asked(field=draw(TEXT), question=draw(TEXT), kind=kind, default=draw(TEXT), **at)
        return [*found, asked, AnswerWanted(asked)]
    if end == "form":
        return [*found, wanted(draw(TEXT), draw(TEXT))]
    found.append(StepEnded(outcome="failed", outputs=outputs, seconds=1.0, error=error, **at))
    if end == "failure":
        return [*found, WordWanted(step("build"), Failed(error["message"], error["hint"]))]
    if end == "broken":
        return [*found, Failed(draw(TEXT), draw(TEXT))]
    return [*found, RunEnded(outcome="done", outputs=outputs, seconds=2.0, log=draw(TEXT))]


def wanted(value: str, other: str) -> FormWanted:
    """A form with every kind of widget and hostile values in all of them."""
    choices = [Choice(value, other, other), Choice("b", value, value)]
    many = [*choices, *(Choice(str(number), value) for number in range(9))]
    fields = [
        (Field("text", "Text"), value, ()),
        (Field("path", "Path", "path", help=other), value, ()),
        (Field("many", "Many", many=True, metavar=other), [value, other], ()),
        (Field("short", "Short", "choice"), value, choices),
        (Field("plain", "Plain", "choice"), "x", [Choice(value), Choice("x" + other)]),
        (Field("long", "Long", "choice", strict=False), value, many),
    ]
    form = [Filled(field, given_, "flag", other or None) for field, given_, _ in fields]
    return FormWanted(step("build"), form, {field.name: found for field, _, found in fields})


def printed(pilot: Pilot[Any]) -> list[str]:
    """Every row as it goes to the terminal."""
    return [
        "".join(segment.text for segment in strip) for strip in pilot.app.screen._compositor.render_strips()
    ]


@SETTINGS
@given(hostile())
def test_whatever_an_event_says_only_printable_characters_reach_the_terminal(items: list[Item]) -> None:
    source = Staged(items)
    source.title = "a\x1b]0;x\x07b"

    async def body(pilot: Pilot[int], _: Wizard) -> None:
        for keys in ((), ("left_square_bracket",), ("right_square_bracket",), ("question_mark",)):
            await pilot.press(*keys)
            await settled(pilot)
            for row in printed(pilot):
                assert row.isprintable(), repr(row)
            assert "PWNED" not in "".join(printed(pilot))

    play(app(source), body)


@SETTINGS
@given(st.lists(st.sampled_from(EVIL), min_size=1, max_size=3).map("".join))
def test_markup_is_text(text: str) -> None:
    """What looks like markup is shown as it is, in titles, notes, lines and notices alike."""
    at = {"at": "2026-11-23T10:00:00.000Z", "step": "build"}
    mark = "[bold]not bold[/]"
    source = Staged(
        [
            StepStarted(title="x", command=f"{mark} command", **at),
            TaskChanged(task="t", title=f"{mark} title", state="running", **at),
            Lines(task="t", text=(f"{mark} line", text), **at),
            Noted(text=f"{mark} note", hint=f"{mark} hint", **at),
        ]
    )
    source.title = f"{mark} banner"

    async def body(pilot: Pilot[int], screen: Wizard) -> None:
        shown = "\n".join(printed(pilot))
        for place in ("command", "title", "line", "note", "hint", "banner"):
            assert f"{mark} {place}" in shown, place
        screen.notify(f"{mark} notice", markup=False)

    play(app(source), body)


@given(st.lists(st.text()))
def test_the_edge_lets_nothing_through_and_keeps_the_width(texts: list[str]) -> None:
    segments = [Segment(text) for text in texts]
    passed = Edge().apply(segments, Color(0, 0, 0))
    assert all(segment.text.isprintable() for segment in passed)
    assert [segment.cell_length for segment in passed] == [segment.cell_length for segment in segments]


@given(TEXT, st.lists(TEXT))
def test_a_cleaned_event_is_clean_in_every_field(text: str, lines: list[str]) -> None:
    found: list[Event] = [
        harmless(Lines(task=text, text=tuple(lines))),
        harmless(Noted(text=text, hint=text)),
        harmless(
            StepEnded(
                outcome="done", outputs={text: [text, {text: text}]}, seconds=1.0, error={"message": text}
            )
        ),
    ]
    for event in found:
        for value in vars(event).values():
            assert not _ACTED_ON.search("".join(_strings(value)))
    assert not any("\n" in line for line in found[0].text)  # type: ignore[attr-defined]
    assert len(found[0].text) == len(lines)  # type: ignore[attr-defined]


def _strings(value: object) -> list[str]:
    if isinstance(value, str):
        return [value]
    if isinstance(value, dict):
        return [part for pair in value.items() for item in pair for part in _strings(item)]
    if isinstance(value, (list, tuple)):
        return [part for item in value for part in _strings(item)]
    return []


@given(st.text(st.characters(categories=("L", "N", "P", "S", "Zs"), include_characters="\n\t")))
def test_an_ordinary_document_is_edited_as_it_is(text: str) -> None:
    assert document(text) == (text, False)


def test_a_document_with_escapes_is_shown_without_them_and_says_so() -> None:
    assert document("FROM x\r\nRUN\ty \x1b[31mred\x1b[0m\n") == ("FROM x\nRUN\ty red\n", True)
    long = "x" * 9000
    assert document(f"{long}\tb") == (f"{long}\tb", False)
    asked = Asked(field="d", question="?", kind="document", default="RUN \x1b]0;x\x07true")
    source = Staged([StepStarted(step="build", title="x", command=""), AnswerWanted(asked)])

    async def body(pilot: Pilot[int], screen: Wizard) -> None:
        assert screen.query_one("#ask TextArea", TextArea).text == "RUN true"
        assert any("control characters were taken out" in row for row in printed(pilot))

    play(app(source), body)


def test_a_secret_is_never_on_the_screen() -> None:
    asked = Asked(field="password", question="password", kind="secret", default="not this one")
    source = Staged([StepStarted(step="build", title="x", command=""), AnswerWanted(asked)])

    async def body(pilot: Pilot[int], screen: Wizard) -> None:
        assert screen.query_one("#ask Input", Input).value == ""
        await pilot.press(*"hunter2")
        assert not any("hunter2" in row for row in printed(pilot))
        assert not any("not this one" in row for row in printed(pilot))
        assert screen.query_one("#ask Input", Input).value == "hunter2"

    play(app(source), body)
