"""Secrets and places: what is known of a project, which questions that leaves for an SMS, and the rows of answers."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

from workflows.core.text import clean
from workflows.iexec.secrets.kinds import KINDS, Secret
from workflows.iexec.secrets.known import Known, Made
from workflows.iexec.secrets.ledger import Push, same_sms
from workflows.iexec.secrets.uses import Use, uses

Level = Literal["act", "know"]
Question = tuple[str, tuple[str, str, str]]  # the URL of an SMS, the key of a secret
Answers = Mapping[Question, bool | None]


@dataclass(frozen=True)
class Place:
    """An SMS of the network: the frameworks that it is there for, and the one that it says it serves."""

    url: str
    frameworks: tuple[str, ...]
    serves: str | None


@dataclass(frozen=True)
class Held:
    """What a file here holds for a secret now: the commitment of it, or why it cannot be pushed."""

    secret: Secret
    file: str
    commitment: str | None = None
    problem: str | None = None


@dataclass(frozen=True)
class Advice:
    """A warning. `act`: something should be done; `rows`: which rows it is about, by their numbers.

    `subject`: what a person may know and want as it is, empty for a fault; `accepted`: when he said so.
    """

    name: str
    level: Level
    text: str
    hint: str
    rows: tuple[int, ...] = ()
    subject: str = ""
    accepted: str | None = None

    @property
    def id(self) -> str | None:
        """8 hex digits by which it can be accepted: the same as long as it is about the same; None for a fault."""
        if not self.subject:
            return None
        return hashlib.sha256(f"{self.name} {self.subject}".encode()).hexdigest()[:8]

    def document(self) -> dict[str, Any]:
        """The warning of the JSON document."""
        return {
            "name": self.name, "level": self.level, "text": self.text, "hint": self.hint, "rows": list(self.rows),
            "id": self.id, "accepted": self.accepted,
        }  # fmt: skip


@dataclass(frozen=True)
class Facts:
    """What is known of a project on a network. `forms`: the form of the fingerprint of each app on the chain;
    `former`: the apps that it had before this one, in lower case; `accepted`: the ids of warnings, and since when."""

    sms: tuple[Place, ...]
    wallet: str | None = None
    app: str | None = None
    dataset: str | None = None
    places: tuple[Secret, ...] = ()
    pushes: tuple[Push, ...] = ()
    held: tuple[Held, ...] = ()
    orders: tuple[Known, ...] = ()
    deals: tuple[Made, ...] = ()
    forms: Mapping[str, str] = field(default_factory=dict)
    former: frozenset[str] = frozenset()
    noticed: tuple[Advice, ...] = ()
    accepted: Mapping[str, str] = field(default_factory=dict)

    @property
    def uses(self) -> list[Use]:
        """What the orders and deals let be used."""
        return uses(self.orders, self.deals)

    def of(self, framework: str | None) -> Place | None:
        """The SMS for a framework; without one, the first."""
        if framework is None:
            return self.sms[0] if self.sms else None
        return next((place for place in self.sms if framework in place.frameworks), None)


@dataclass(frozen=True)
class Row:
    """One secret in one SMS. `set`: what the SMS says, None when it was not asked or did not answer."""

    secret: Secret
    sms: str
    framework: str | None
    set: bool | None
    push: Push | None
    held: Held | None
    uses: tuple[Use, ...]

    @property
    def same(self) -> bool | None:
        """Whether what was pushed from here is what the file holds now; None when one of them is not known."""
        if self.push is None or self.held is None or self.held.commitment is None:
            return None
        return self.push.commitment == self.held.commitment

    @property
    def needed(self) -> bool:
        """Whether an order or deal needs it there."""
        return any(use.needed for use in self.uses)

    def document(self) -> dict[str, Any]:
        """The row of the JSON document."""
        kind, push = self.secret.kind, self.push
        return {
            "kind": kind.id, "title": self.secret.title, "sms": self.sms, "framework": self.framework,
            "slot": kind.slot, "owner": self.secret.owner, "owns": kind.thing, "name": self.secret.name or None,
            "signer": kind.signer, "form": kind.form, "limit": kind.limit,
            "state": self.state, "set": self.set, "needed": self.needed,
            "pushed_at": push and push.at, "confirmed": push and push.outcome == "stored",
            "commitment": push and push.commitment, "file": self.held and self.held.file, "same": self.same,
            "forever": kind.forever, "change": kind.change, "public": kind.public,
            "reader": kind.reader, "until": self.until,
            "uses": [_use(use) for use in self.uses],
        }  # fmt: skip

    @property
    def state(self) -> str:
        """`set`, `missing` (needed and not set), `absent`, or `unknown`."""
        if self.set is None:
            return "unknown"
        if self.set:
            return "set"
        return "missing" if self.needed else "absent"

    @property
    def until(self) -> str:
        """When it can no longer be read."""
        if self.secret.kind.id == "app-secret":
            now = "the app runs for nobody any more"
        elif self.uses:
            now = "these are used up, cancelled or over"
        else:
            now = "now: nothing that is known here lets it be read"
        return f"{now}; the SMS itself forgets nothing"


def wanted(facts: Facts) -> list[tuple[str, Secret]]:
    """The questions: for each SMS by URL, the secrets that it may have."""
    found: dict[Question, tuple[str, Secret]] = {}

    def add(url: str | None, secret: Secret) -> None:
        if url is not None:
            found.setdefault((url, secret.key), (url, secret))

    for use in facts.uses:
        if use.needed or use.secret.key in {secret.key for secret in facts.places}:
            add(_url(facts.of(use.framework)), use.secret)
    for push in facts.pushes:
        add(next((one.url for one in facts.sms if same_sms(one.url, push.sms)), push.sms), push.secret)
    asked = {key for _, key in found}
    for secret in facts.places:
        if secret.key not in asked:
            add(_url(facts.of(None)), secret)
    order = list(KINDS)
    return sorted(found.values(), key=lambda one: order.index(one[1].kind.id))


def rows(facts: Facts, answers: Answers) -> list[Row]:
    """A row for each question. `answers`: what each SMS said, None for nothing."""
    return [_row(facts, url, secret, answers.get((url, secret.key))) for url, secret in wanted(facts)]


def _row(facts: Facts, url: str, secret: Secret, answer: bool | None) -> Row:
    place = next((one for one in facts.sms if one.url == url), None)
    push = next(
        (one for one in facts.pushes if one.secret.key == secret.key and same_sms(one.sms, url)), None
    )
    held = next((one for one in facts.held if one.secret.key == secret.key), None)
    mine = tuple(
        use for use in facts.uses
        if use.secret.key == secret.key and (use.framework is None or place is None or place is facts.of(use.framework))
    )  # fmt: skip
    serves = place.serves if place else push.framework.lower() if push else None
    return Row(secret, url, serves, answer, push, held, mine)


def _use(use: Use) -> dict[str, Any]:
    record = {name: value for name, value in asdict(use).items() if name != "secret"}
    return {**record, "tag": list(use.tag), "source": clean(use.source), "sentence": use.sentence}


def _url(place: Place | None) -> str | None:
    return place.url if place else None
