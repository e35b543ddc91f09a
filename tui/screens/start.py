"""The first screen: what to do with this folder."""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar

from textual import on
from textual.app import ComposeResult
from textual.binding import BindingType
from textual.containers import Vertical
from textual.content import Content
from textual.screen import Screen
from textual.widgets import Footer, OptionList, Static
from textual.widgets.option_list import Option

from workflows import cli
from workflows.core.failure import Failed

_CHOICES = (
    ("onboard", "Onboard the app in this folder", "every step, explained, up to the decrypted result"),
    ("demo", "See it on the bundled sample", "the same walk without a question"),
    ("deploy", "Deploy", "build, measure, deploy if an input changed"),
    ("resume", "Go on where the last run stopped", ""),
)


class Start(Screen[None]):
    """Choose a workflow; Enter starts it."""

    BINDINGS: ClassVar[list[BindingType]] = [("q", "app.leave", "quit")]

    def __init__(self, folder: Path) -> None:
        super().__init__()
        self._folder = folder

    def compose(self) -> ComposeResult:
        yield Static(Content(f"creamtea ▸ {self._folder}"), id="banner")
        with Vertical(id="start"):
            yield Static(
                Content.assemble(
                    ("Take an application into an SGX enclave with SCONE and onto iExec.\n", "bold"),
                    (
                        "On the localnet all is real but SGX and SCONE's runtime, which say SIMULATED.\n",
                        "$text-muted",
                    ),
                )
            )
            yield OptionList(*self._options(), markup=False)
        yield Footer(show_command_palette=False, compact=True)

    def _options(self) -> list[Option]:
        last = _last(self._folder)
        options = []
        for name, title, note in _CHOICES:
            if name == "resume" and last is None:
                continue
            note = f"{last}" if name == "resume" else note
            options.append(Option(Content.assemble((title, "bold"), (f"\n  {note}", "$text-muted")), id=name))
        return options

    @on(OptionList.OptionSelected)
    def _chosen(self, event: OptionList.OptionSelected) -> None:
        if event.option_id == "resume":
            self.app.start_run(cli.parse_resume(["--project", str(self._folder)]))  # type: ignore[attr-defined]
        else:
            self.app.start_run(cli.parse_run([str(event.option_id), "--project", str(self._folder)]))  # type: ignore[attr-defined]


def _last(folder: Path) -> str | None:
    if not (folder / ".creamtea" / "journal.jsonl").exists():
        return None
    try:
        return f"the last run here was {cli.last_run(folder)['workflow']}"
    except Failed:
        return None
