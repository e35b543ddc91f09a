"""Events are the contract with other programs: every one survives the trip through NDJSON."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from workflows.core import events
from workflows.core.events import Event, Noted, TaskChanged, from_json, harmless, to_dict, to_json

TEXT = st.text(max_size=40)
SOME = st.one_of(st.none(), TEXT)

EVENTS = st.one_of(
    st.builds(events.RunStarted, workflow=TEXT, network=SOME, project=TEXT),
    st.builds(events.StepStarted, step=TEXT, title=TEXT, command=TEXT),
    st.builds(
        events.TaskChanged,
        task=TEXT,
        title=TEXT,
        state=st.sampled_from(["waiting", "running", "done", "cached", "failed", "cancelled"]),
        parent=SOME,
        started=SOME,
        ended=SOME,
        detail=SOME,
    ),
    st.builds(events.Lines, task=TEXT, text=st.lists(TEXT, max_size=5).map(tuple)),
    st.builds(events.Progress, task=TEXT, done=st.integers(0), total=st.one_of(st.none(), st.integers(0))),
    st.builds(events.Asked, field=TEXT, question=TEXT, default=SOME),
    st.builds(events.Noted, text=TEXT, hint=SOME),
    st.builds(
        events.StepEnded,
        outcome=st.sampled_from(["done", "skipped", "failed", "cancelled"]),
        outputs=st.dictionaries(TEXT, SOME, max_size=3),
        seconds=st.floats(0, 1e6),
    ),
    st.builds(
        events.RunEnded,
        outcome=st.sampled_from(["done", "failed", "cancelled"]),
        outputs=st.dictionaries(TEXT, st.dictionaries(TEXT, SOME, max_size=2), max_size=2),
        seconds=st.floats(0, 1e6),
        log=SOME,
    ),
)


@given(EVENTS)
def test_an_event_survives_its_line(event: Event) -> None:
    line = to_json(event)
    assert "\n" not in line
    assert from_json(line) == event


@given(EVENTS)
def test_common_fields_come_first(event: Event) -> None:
    assert list(to_dict(event))[:5] == ["v", "type", "at", "run", "step"]


def test_fields_of_a_later_version_are_ignored() -> None:
    record = {**to_dict(events.Noted(text="x")), "colour": "red"}
    assert from_json(json.dumps(record)) == events.Noted(text="x")


@pytest.mark.parametrize(
    "line",
    [
        "[]",
        "{",
        '{"v":1}',
        '{"v":2,"type":"noted","text":"x"}',
        '{"v":1,"type":"noted"}',
        '{"v":1,"type":"x"}',
    ],
)
def test_what_is_no_event_is_refused(line: str) -> None:
    with pytest.raises(ValueError):
        from_json(line)


def test_a_title_is_one_line_and_a_note_may_have_several() -> None:
    name = "new\nline\x1b[31m.csv"
    assert harmless(TaskChanged(task=name, title=name, state="done", detail=name)) == TaskChanged(
        task="newline.csv", title="newline.csv", state="done", detail="newline.csv"
    )
    assert harmless(Noted(text=name)) == Noted(text="new\nline.csv")
