"""What the screen listens to: a run of a workflow on a thread of its own, or a recording of one."""

from __future__ import annotations

import argparse
import os
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Literal, Protocol

from tui.answers import ScreenAnswers
from tui.feed import Feed
from tui.model import places
from workflows.cli import program
from workflows.cli.prepare import prepare
from workflows.core.engine import Engine
from workflows.core.events import Event
from workflows.core.failure import Cancelled, Failed
from workflows.core.journal import Journal
from workflows.core.record import Recorder, replay
from workflows.core.step import Step
from workflows.core.stumbled import CRASHED, stumbled
from workflows.core.text import clean

_PACE: dict[str, Literal["all", "unsettled", "none"]] = {"demo": "none", "deploy": "unsettled"}


class Source(Protocol):
    """Fills a feed. `title` is for the banner, `log_dir` where the whole logs are, `live` says whether it can be
    cancelled and asked again."""

    steps: Sequence[Step]
    title: str
    log_dir: Path | None
    live: bool

    def start(self, feed: Feed) -> None:
        """Begin, on a thread."""

    def patient(self, step: str) -> bool:
        """Whether the notes of this step wait to be read before anything covers them."""

    def cancel(self) -> None:
        """Stop what runs now."""

    def close(self) -> None:
        """Stop all of it; nobody answers any more."""

    def wait(self, seconds: float | None = None) -> bool:
        """Wait for the end; False when it did not come in time."""


class LiveRun:
    """A run in a project: `options` of `parse_run`. Failed when it cannot be prepared."""

    live = True

    def __init__(self, options: argparse.Namespace) -> None:
        self.options = options
        steps, self.ctx = prepare(options, interactive=True)
        self.steps: Sequence[Step] = steps
        self.title = clean(f"{self.ctx.project.name} ▸ {options.workflow}")
        self.log_dir: Path | None = self.ctx.run_dir
        self.exit_code = 0
        self._pace = _PACE.get(options.workflow, "all")
        resumed = getattr(options, "resumed", False)
        self._settled = _finished(self.ctx.journal, self.steps) if resumed else []
        self._answers: ScreenAnswers | None = None
        self._thread: threading.Thread | None = None

    def start(self, feed: Feed) -> None:
        self._answers = ScreenAnswers(feed.put, self.ctx, pace=self._pace, settled=self._settled)
        self._thread = threading.Thread(
            target=self._work, args=(feed, self._answers), name="engine", daemon=True
        )
        self._thread.start()

    def _work(self, feed: Feed, answers: ScreenAnswers) -> None:
        recorder = Recorder(self.ctx.run_dir)

        def emit(event: Event) -> None:
            recorder(event)
            feed.put(event)

        options = self.options
        try:
            with self.ctx.journal.lock():
                engine = Engine(self.steps, self.ctx, emit, answers, given=options.given, environ=os.environ)
                self.exit_code = engine.run(start=options.start, only=options.only, force=options.force)
        except Failed as failure:
            self.exit_code = failure.exit_code
            feed.put(failure)
        except Exception as error:
            self.exit_code = CRASHED
            feed.put(stumbled(error))
        finally:
            recorder.close()

    def patient(self, step: str) -> bool:
        return self._pace == "all" and step not in self._settled

    def went_back(self) -> None:
        """The person went back to a step: ask everything from now on."""
        self._pace, self._settled = "all", []
        if self._answers is not None:
            self._answers.ask_all()

    def cancel(self) -> None:
        self.ctx.cancel.set()

    def close(self) -> None:
        self.cancel()
        if self._answers is not None:
            self._answers.close()

    def wait(self, seconds: float | None = None) -> bool:
        if self._thread is not None:
            self._thread.join(seconds)
        return self._thread is None or not self._thread.is_alive()

    @property
    def farewell(self) -> str:
        """What stays on the terminal: how it ended, where its app, its result and the log are, how to go on."""
        outcome = {0: "done", Cancelled.exit_code: "stopped"}.get(self.exit_code, "failed")
        found = {} if self.exit_code else places(self.ctx.outputs)
        lines = [
            f"creamtea {self.ctx.workflow}: {outcome}",
            *(f"{label}: {found[label]}" for label in ("app", "result") if label in found),
            f"log: {self.ctx.run_dir}",
        ]
        if self.exit_code:
            lines.append(f"go on with: creamtea resume --project {self.ctx.project}")
        return "\n".join(clean(line) for line in lines)


class Playback:
    """A recorded run, played back `speed` times as fast; 0 means at once."""

    live = False

    def __init__(self, path: Path, speed: float = 1.0) -> None:
        self.steps: Sequence[Step] = program.catalog().steps
        self.title = "replay"
        self.log_dir: Path | None = None
        self._path = path
        self._speed = speed
        self._stopped = threading.Event()
        self._thread: threading.Thread | None = None

    def start(self, feed: Feed) -> None:
        self._thread = threading.Thread(target=self._work, args=(feed,), name="replay", daemon=True)
        self._thread.start()

    def _work(self, feed: Feed) -> None:
        try:
            replay(self._path, feed.put, self._speed, sleep=self._pause)
        except Cancelled:
            pass
        except Failed as failure:
            feed.put(failure)
        except Exception as error:
            feed.put(stumbled(error))

    def patient(self, step: str) -> bool:
        return False

    def _pause(self, seconds: float) -> None:
        if self._stopped.wait(seconds):
            raise Cancelled

    def cancel(self) -> None:
        self._stopped.set()

    def close(self) -> None:
        self.cancel()

    def wait(self, seconds: float | None = None) -> bool:
        if self._thread is not None:
            self._thread.join(seconds)
        return self._thread is None or not self._thread.is_alive()


def _finished(journal: Journal, steps: Sequence[Step]) -> list[str]:
    """The steps that ended well last time, up to the first one that did not."""
    names: list[str] = []
    for step in steps:
        done, failed = journal.last("done", step.id), journal.last("failed", step.id)
        if done is None or (failed is not None and failed.at > done.at):
            break
        names.append(step.id)
    return names
