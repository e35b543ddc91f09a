"""The audit: the rows of the matrix, the keys that are public by nature, and what should be done about it all."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

from workflows.iexec.secrets.advice import advise
from workflows.iexec.secrets.matrix import Advice, Answers, Facts, Row, rows


@dataclass(frozen=True)
class Report:
    """Rows in the order of the kinds, public keys, and warnings: those to act on first, accepted ones last."""

    rows: tuple[Row, ...]
    warnings: tuple[Advice, ...]
    public: tuple[dict[str, Any], ...]

    @property
    def act(self) -> bool:
        """Whether something should be done."""
        return any(warning.level == "act" for warning in self.warnings)


def report(facts: Facts, answers: Answers) -> Report:
    """The matrix and its warnings. `answers`: what each SMS said to the questions of `matrix.wanted`."""
    found = rows(facts, answers)
    warnings = [_accepted(facts, warning) for warning in advise(facts, found)]
    warnings.sort(key=lambda warning: (warning.level != "act", warning.accepted is not None))
    return Report(tuple(found), tuple(warnings), tuple(_public(facts)))


def _accepted(facts: Facts, warning: Advice) -> Advice:
    """The warning, or as one to know of where the person said that it is meant to be so."""
    since = facts.accepted.get(warning.id or "")
    return warning if since is None else replace(warning, level="know", accepted=since)


def _public(facts: Facts) -> Iterator[dict[str, Any]]:
    """Keys that are public by nature: the FSPF key, which SCONE prints and every copy of the image holds."""
    for app, form in facts.forms.items():
        on_chain = form in ("3", "4")
        yield {
            "title": "FSPF key", "app": app, "form": form, "on_chain": on_chain,
            "text": (
                f"it stands in the app's fingerprint (form {form}), on the chain, for everybody to read"
                if on_chain
                else "it is in the image: whoever can pull that can read it"
            ),
            "hint": "encrypted regions of the image hide nothing; keep secrets in the SMS or in a dataset",
        }  # fmt: skip
