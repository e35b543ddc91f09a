"""Commands that ask: questions go to the face, everything else to its ears, and the end is always reached."""

from __future__ import annotations

from collections.abc import Generator, Iterable, Mapping
from typing import Any

import pytest

from workflows.cli.person import Unattended
from workflows.core.command import Dialogue, Result
from workflows.core.events import Asked, Event, Noted
from workflows.core.failure import Missing


class Greeting(Dialogue):
    """Asks for a name."""

    name = "greeting"

    def __init__(self) -> None:
        self.ended = False

    def work(self, options: Mapping[str, Any]) -> Generator[Event, Any, Result]:
        try:
            assert (yield Noted(text="hello")) is None, "only a question has an answer"
            name = yield Asked(field="name", question="who are you?", kind="text", flag=options.get("flag"))
            assert (yield Noted(text="well")) is None
            return Result({"name": name})
        finally:
            self.ended = True

    def lines(self, document: Mapping[str, Any]) -> Iterable[str]:
        return [str(document["name"])]


def test_questions_are_answered_and_the_rest_is_told() -> None:
    heard: list[Event] = []
    result = Greeting().run({}, heard.append, lambda asked: f"Ada ({asked.field})")
    assert result.document == {"name": "Ada (name)"}
    assert [getattr(event, "text", "") for event in heard] == ["hello", "well"]


@pytest.mark.parametrize(("flag", "named"), [(None, "give --name"), ("--from FILE", "give --from FILE")])
def test_where_nobody_can_be_asked_the_flag_is_named(flag: str | None, named: str) -> None:
    command = Greeting()
    with pytest.raises(Missing) as caught:
        command.run({"flag": flag}, lambda _: None, Unattended(yes=True).answer)
    assert caught.value.hint == named and caught.value.exit_code == 2
    assert command.ended, "what it held is let go"
