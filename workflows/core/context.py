"""What a step sees while it runs, and how it hears that it shall stop."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

from workflows.core.failure import Cancelled
from workflows.core.journal import Entry, Journal
from workflows.core.manifest import Manifest

T = TypeVar("T")
Outputs = Mapping[str, Any]


class Cancel:
    """A flag that any thread may set; callbacks end a blocking call at once. `event` for who waits on one."""

    def __init__(self) -> None:
        self.event = threading.Event()
        self._lock = threading.RLock()  # a signal handler may set it while its own thread is in `on`
        self._callbacks: list[Callable[[], None]] = []

    def set(self) -> None:
        """Ask the running step to stop. Harmless when repeated."""
        with self._lock:
            self.event.set()
            callbacks = list(self._callbacks)
        for callback in callbacks:
            with contextlib.suppress(Exception):
                callback()

    def clear(self) -> None:
        """Ready for the next try."""
        self.event.clear()

    def is_set(self) -> bool:
        """Whether somebody asked to stop."""
        return self.event.is_set()

    def check(self) -> None:
        """Raise Cancelled if somebody asked to stop."""
        if self.event.is_set():
            raise Cancelled

    def wait(self, seconds: float) -> None:
        """Sleep that ends early, with Cancelled, when somebody asks to stop."""
        if self.event.wait(seconds):
            raise Cancelled

    @contextlib.contextmanager
    def on(self, callback: Callable[[], None]) -> Iterator[None]:
        """While inside, `callback` is called once the flag is set."""
        with self._lock:
            self._callbacks.append(callback)
            already = self.event.is_set()
        if already:
            callback()
        try:
            yield
        finally:
            with self._lock:
                self._callbacks.remove(callback)


@dataclass
class Context:
    """All that a step may read or leave during one run.

    `values` holds the inputs of all steps by field name, `outputs` what finished steps left by step id,
    `previous` the last time this very step ended well with the same inputs (or None). `again` is the step that
    the person went back to, until it is done.
    """

    project: Path
    journal: Journal
    manifest: Manifest
    workflow: str = ""
    run: str = ""
    run_dir: Path = Path()
    values: dict[str, Any] = field(default_factory=dict)
    outputs: dict[str, Outputs] = field(default_factory=dict)
    previous: Entry | None = None
    cancel: Cancel = field(default_factory=Cancel)
    secrets: set[str] = field(default_factory=set)
    interactive: bool = False
    again: str = ""
    _kept: dict[str, Any] = field(default_factory=dict)
    _stack: contextlib.ExitStack = field(default_factory=contextlib.ExitStack)

    @property
    def state(self) -> Path:
        """The project's private state folder."""
        return self.journal.folder

    def __getitem__(self, name: str) -> Any:
        """The value of an input."""
        return self.values.get(name)

    def keep(self, name: str, make: Callable[[], T], close: Callable[[T], None] | None = None) -> T:
        """A thing that steps share (an engine, a client): made once, closed when the run is over."""
        if name not in self._kept:
            thing = make()
            self._kept[name] = thing
            if close is not None:
                self._stack.callback(close, thing)
        kept: T = self._kept[name]
        return kept

    def has(self, name: str) -> bool:
        """Whether a shared thing is made already."""
        return name in self._kept

    def forget(self, name: str) -> None:
        """Have the next `keep` make the thing anew."""
        self._kept.pop(name, None)

    def hide(self, secret: str) -> str:
        """Register a secret so that it is masked in every event; returns it."""
        # Output comes in lines, so each line of a secret is one too.
        self.secrets.update(part for part in (secret, *secret.splitlines()) if len(part) >= 4)
        return secret

    def close(self) -> None:
        """Close what was kept, last made first."""
        self._kept.clear()
        self._stack.close()
