"""What this machine pushed: places, times and commitments, never a value; and which warnings a person accepted.

`pushed.jsonl`, mode 0600: a line before a value is sent, one when the SMS has it or refused it. A commitment is
HMAC-SHA256 of place and value under a key that stays beside it; a plain hash would let guesses be tried.
`accepted.jsonl` beside it: a line for each warning that is accepted, or no longer.
"""

from __future__ import annotations

import contextlib
import hashlib
import hmac
import json
import os
import secrets
from collections.abc import Collection, Iterable, Iterator
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Literal, get_args

from workflows.core.events import now
from workflows.core.failure import Failed
from workflows.core.files import append_line, create_private, private_dir
from workflows.core.text import clean
from workflows.iexec import web
from workflows.iexec.secrets.kinds import KINDS, Secret, secret

Outcome = Literal["sent", "stored", "refused"]
_KEY_SIZE = 32


@dataclass(frozen=True)
class Push:
    """One push. `sms`: the URL of that day; `outcome`: `sent` means that nobody knows whether it arrived."""

    sms: str
    framework: str
    kind: str
    owner: str
    name: str
    commitment: str
    at: str
    outcome: Outcome = "stored"

    @property
    def secret(self) -> Secret:
        """The place that it went to."""
        return Secret(KINDS[self.kind], self.owner, self.name)


class Ledger:
    """The pushes of a person on one network, from the folder that keeps them."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.path = folder / "pushed.jsonl"
        self._answers = folder / "accepted.jsonl"

    def accept(self, warning: str, text: str, *, undo: bool = False) -> str | None:
        """Remember that a person accepts a warning, by its id, or no longer does; since when, None for no longer."""
        private_dir(self._folder)
        at = None if undo else now()
        record = {"v": 1, "warning": warning, "accepted": at, "text": text}
        append_line(self._answers, json.dumps(record, separators=(",", ":")).encode())
        return at

    def accepted(self) -> dict[str, str]:
        """Since when the accepted warnings are that, by their ids. A damaged line accepts nothing."""
        found: dict[str, str] = {}
        lines = self._answers.read_bytes().splitlines() if self._answers.exists() else []
        for line in lines:
            with contextlib.suppress(ValueError, TypeError, KeyError, RecursionError):
                record = json.loads(line)
                found.pop(record["warning"], None)
                if record["accepted"] is not None:
                    found[record["warning"]] = clean(str(record["accepted"]))
        return found

    def commitment(self, place: Secret, value: str) -> str:
        """64 hex digits that follow from this place and value, and tell nothing of the value."""
        parts = (*place.key, value)
        text = b"".join(len(part.encode()).to_bytes(4, "big") + part.encode() for part in parts)
        return hmac.new(self._key(), text, hashlib.sha256).hexdigest()

    def holds(self, sms: str, place: Secret, value: str) -> bool:
        """Whether this very value was the last that was stored there from here."""
        last = self.last(sms, place)
        return (
            last is not None
            and last.outcome == "stored"
            and hmac.compare_digest(last.commitment, self.commitment(place, value))
        )

    def last(self, sms: str, place: Secret) -> Push | None:
        """What was pushed to a place last and not refused; None when nothing was."""
        same = (push for push in self.pushes() if push.secret.key == place.key and same_sms(push.sms, sms))
        return next(same, None)

    def pushes(self) -> list[Push]:
        """The last push to each place of each SMS that was not refused, newest first."""
        open_: dict[tuple[Any, ...], list[Push]] = {}
        for push in self._lines():
            at = open_.setdefault((_origin(push.sms), push.secret.key), [])
            if (
                push.outcome != "sent"
            ):  # it settles the newest line of a sending, not one without an answer before
                sent = [one for one in at if one.outcome == "sent" and one.commitment == push.commitment]
                at[:] = [one for one in at if not sent or one is not sent[-1]]
            if push.outcome != "refused":
                at.append(push)
        return sorted((each[-1] for each in open_.values() if each), key=lambda one: one.at, reverse=True)

    @contextlib.contextmanager
    def pushing(self, sms: str, framework: str, place: Secret, value: str) -> Iterator[Push]:
        """Around the sending: noted before, and after it as stored, or as refused when nothing can have arrived."""
        push = Push(
            sms, framework, place.kind.id, place.owner, place.name, self.commitment(place, value), now(), "sent"
        )  # fmt: skip
        self._append(push)
        try:
            yield push
        except Failed as failure:
            if failure.exit_code in (1, 2):  # without an answer it may have arrived
                self._append(replace(push, outcome="refused"))
            raise
        self.note(replace(push, at=now()))

    def note(self, push: Push) -> None:
        """Write down what is stored."""
        self._append(replace(push, outcome="stored"))

    def _key(self) -> bytes:
        """The key of all commitments; Failed where it is gone, for a new one would call every value another."""
        path = self._folder / "commitment.key"
        if not path.exists() and self.path.exists():
            raise Failed(
                f"{path} is gone, and without it nobody can tell what was pushed",
                f"put it back, or move {self.path.name} away too: it only remembers what was pushed from here",
                name="commitment_key",
            )
        return private_key(path)

    def _append(self, push: Push) -> None:
        private_dir(self._folder)
        append_line(self.path, json.dumps({"v": 1, **asdict(push)}, separators=(",", ":")).encode())

    def _lines(self) -> Iterator[Push]:
        try:
            lines = self.path.read_bytes().split(b"\n")
        except FileNotFoundError:
            return
        for number, line in enumerate(lines, start=1):
            try:
                if line and not _torn(line):
                    yield _push(line)
            except (ValueError, KeyError, TypeError, RecursionError, Failed):
                if lines[number:] in ([], [b""]):  # somebody is writing it just now
                    return
                raise Failed(
                    f"line {number} of {self.path} cannot be read",
                    "move the file away: it only remembers what was pushed from here",
                    name="ledger",
                ) from None


def newest(pushes: Iterable[Push], kind: str, owners: Collection[str]) -> Push | None:
    """The newest of these pushes, newest first, that gave a kind of secret to one of the owners, in lower case."""
    return next((one for one in pushes if one.kind == kind and one.owner.lower() in owners), None)


def private_key(path: Path) -> bytes:
    """32 random bytes of a file of mode 0600, made whole when first asked for. Failed when it is damaged."""
    if not path.exists():
        private_dir(path.parent)
        made = path.with_name(f".{path.name}.{secrets.token_hex(6)}")
        create_private(made, secrets.token_bytes(_KEY_SIZE))
        with contextlib.suppress(FileExistsError):  # somebody else was faster
            os.link(made, path)
        made.unlink()
    key = path.read_bytes()
    if len(key) != _KEY_SIZE:
        raise Failed(f"{path} is damaged", "move it away: a new one is made", name="commitment_key")
    return key


def same_sms(one: str, other: str) -> bool:
    """Whether two URLs are the same SMS; one of this machine has another port after each start."""
    return _origin(one) == _origin(other)


def _origin(url: str) -> str:
    return "loopback" if web.is_loopback(url) else url.rstrip("/").lower()


def _torn(line: bytes) -> bool:
    """Whether a power loss cut it; what came later stands on a line of its own."""
    return line.startswith(b"{") and not line.endswith(b"}")


def _push(line: bytes) -> Push:
    record = json.loads(line)
    if not isinstance(record, dict) or record.pop("v") != 1 or record["outcome"] not in get_args(Outcome):
        raise ValueError("not a line of version 1")
    if not all(isinstance(value, str) for value in record.values()):
        raise TypeError("not a text")
    outcome: Outcome = record.pop("outcome")
    push = Push(**{name: clean(value) for name, value in record.items()}, outcome=outcome)
    kind = KINDS[push.kind]
    secret(kind, push.owner, push.name if kind.name is None else None)
    return push
