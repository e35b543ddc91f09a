"""The arguments of a request: what CAS would not take in a session's command is told before anything is paid."""

from __future__ import annotations

from pathlib import Path

import pytest

from workflows.cli.options import parse_run
from workflows.cli.prepare import prepare
from workflows.core.failure import Missing


@pytest.mark.parametrize("args", ["", "one two", "--n=3 é /iexec_in/x", "say 'two words'", "a\\ b", "50@@1"])
def test_arguments_that_a_session_takes(args: str, tmp_path: Path) -> None:
    (tmp_path / "app.py").touch()
    options = parse_run(["onboard", "--project", str(tmp_path), "--args", args])
    _, ctx = prepare(options)
    ctx.close()


@pytest.mark.parametrize(
    ("args", "told"),
    [
        ("it's", "a quote is not closed"),
        ('say "', "a quote"),
        ("a @@1", "@@1"),
        ("$$SCONE::key$$", "SCONE's CAS"),
    ],
)
def test_arguments_that_no_session_takes(args: str, told: str, tmp_path: Path) -> None:
    options = parse_run(["onboard", "--project", str(tmp_path), "--args", args])
    with pytest.raises(Missing, match="--args") as caught:
        prepare(options)
    assert told in caught.value.message
