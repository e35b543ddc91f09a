"""Asking an image for its MRENCLAVE where the engine loses what a short container says."""

from __future__ import annotations

from typing import Any, cast

import pytest

from workflows.containers.engine import Engine, Image, Ran
from workflows.core.failure import Failed
from workflows.scone.image import enclave_hash

HASH = "ab" * 32
IMAGE = Image("sha256:1", (), (), {}, ("python3", "/app.py"), (), {}, "linux/amd64", 1, "/")


class Answers:
    """An engine as far as it is asked here: each run has the next of these outcomes."""

    def __init__(self, *outcomes: Ran) -> None:
        self.left = list(outcomes)

    def run(self, image: str, command: list[str], **settings: Any) -> Ran:
        assert (image, command, settings["entrypoint"]) == (IMAGE.id, [], ["python3"])
        return self.left.pop(0)


def asked(*outcomes: Ran) -> str:
    return enclave_hash(cast(Engine, Answers(*outcomes)), IMAGE, "python3 /app.py")


def test_an_answer_that_was_lost_is_asked_for_once_more() -> None:
    assert asked(Ran(0, HASH, "")) == asked(Ran(0, "", ""), Ran(0, HASH, "")) == HASH


@pytest.mark.parametrize(
    ("outcomes", "said"),
    [
        ([Ran(0, "", ""), Ran(0, "", "")], "nothing (exit code 0)"),
        ([Ran(127, "", "")], "nothing (exit code 127)"),
        ([Ran(1, "", "no such interpreter")], "no such interpreter"),
    ],
)
def test_what_says_nothing_or_something_else_is_not_asked_for_ever(outcomes: list[Ran], said: str) -> None:
    with pytest.raises(Failed) as caught:
        asked(*outcomes)
    assert caught.value.name == "no_mrenclave" and caught.value.message.endswith(f"it said: {said}")
