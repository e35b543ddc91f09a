"""The contract of `run --json`, written down once more from contracts.md, and checked line by line."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

Event = dict[str, Any]
Check = Callable[[Any], bool]
ONBOARD = (
    "doctor", "network", "base_image", "dockerfile", "build", "measure", "deploy_app", "encrypt_dataset",
    "push_secrets", "request", "watch", "result",
)  # fmt: skip

ORDERS = ("app", "dataset", "workerpool", "request")


def text(value: Any) -> bool:
    return isinstance(value, str)


def number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and value >= 0


def whole(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 0


def texts(value: Any) -> bool:
    return isinstance(value, list) and all(isinstance(item, str) for item in value)


def boolean(value: Any) -> bool:
    return isinstance(value, bool)


def hexes(digits: int, prefix: str = "") -> Check:
    return lambda value: text(value) and re.fullmatch(f"{prefix}[0-9a-f]{{{digits}}}", value) is not None


def one_of(*values: Any) -> Check:
    return lambda value: value in values


def maybe(check: Check) -> Check:
    return lambda value: value is None or check(value)


def address(value: Any) -> bool:
    """A checksummed address (EIP-55)."""
    from eth_utils.address import to_checksum_address

    return (
        text(value)
        and re.fullmatch("0x[0-9a-fA-F]{40}", value) is not None
        and to_checksum_address(value) == value
    )


def moment(value: Any) -> bool:
    """ISO 8601 in UTC."""
    try:
        return text(value) and value.endswith("Z") and datetime.fromisoformat(value[:-1]).tzinfo is None
    except ValueError:
        return False


def error(value: Any) -> bool:
    return (
        isinstance(value, dict)
        and set(value) >= {"name", "message", "hint"}
        and all(map(text, value.values()))
    )


hash32 = hexes(64, "0x")
sha256 = hexes(64, "sha256:")

COMMON: Mapping[str, Check] = {
    "v": one_of(1), "type": text, "at": moment, "run": text, "step": maybe(one_of(*ONBOARD)),
}  # fmt: skip
EVENTS: Mapping[str, Mapping[str, Check]] = {
    "run_started": {"workflow": text, "network": maybe(text), "project": text},
    "step_started": {"title": text, "command": text},
    "task_changed": {
        "task": text, "title": text, "parent": maybe(text), "started": maybe(moment), "ended": maybe(moment),
        "state": one_of("waiting", "running", "done", "cached", "failed", "cancelled"), "detail": maybe(text),
    },
    "lines": {"task": text, "stream": one_of("out", "err"), "text": texts},
    "progress": {"task": text, "done": whole, "total": maybe(whole), "unit": text},
    "asked": {"field": text, "question": text, "kind": text},
    "noted": {"level": one_of("info", "warning", "error"), "text": text, "hint": maybe(text)},
    "step_ended": {
        "outcome": one_of("done", "skipped", "failed", "cancelled"), "outputs": lambda it: isinstance(it, dict),
        "seconds": number, "error": maybe(error),
    },
    "run_ended": {
        "outcome": one_of("done", "failed", "cancelled"), "outputs": lambda it: isinstance(it, dict),
        "seconds": number, "log": maybe(text),
    },
}  # fmt: skip
OUTPUTS: Mapping[str, Mapping[str, Check]] = {
    "doctor": {},
    "network": {"name": text, "chain_id": whole, "simulated": boolean},
    "base_image": {"reference": text, "used": text, "stand_in": maybe(text)},
    "dockerfile": {"path": text, "entrypoint": text},
    "build": {"image": text, "image_id": sha256, "seconds": number, "log": text},
    "measure": {
        "fspf_key": hexes(64), "fspf_tag": hexes(32), "mrenclave": hexes(64), "form": one_of("3", "4", "json"),
        "fingerprint": text, "image_id": sha256,
    },
    "deploy_app": {"app": address, "tx": maybe(hash32), "checksum": hash32, "multiaddr": text},
    "encrypt_dataset": {
        "dataset": maybe(address), "tx": maybe(hash32), "checksum": maybe(hash32), "multiaddr": maybe(text),
        "file": maybe(text),
    },
    "push_secrets": {"pushed": texts},
    "request": {
        "deal": hash32, "task": hash32, "cost": whole,
        "orders": lambda it: set(it) == set(ORDERS) and all(map(maybe(hash32), it.values())),
    },
    "watch": {"task": hash32, "status": text, "cause": maybe(text)},
    "result": {"folder": text, "files": texts},
}  # fmt: skip
_CONTROL = re.compile("[\x00-\x1f\x7f-\x9f‎‏؜‪-‮⁦-⁩]")


@dataclass(frozen=True)
class Run:
    """The events of one run."""

    events: list[Event]

    def of(self, kind: str, step: str | None = None) -> list[Event]:
        """The events of a type, of one step if it is named."""
        return [it for it in self.events if it["type"] == kind and step in (None, it["step"])]

    @property
    def end(self) -> Event:
        """How the run ended."""
        return self.events[-1]

    @property
    def outputs(self) -> dict[str, dict[str, Any]]:
        """What each step left."""
        return dict(self.end["outputs"])

    def written(self, name: str) -> Any:
        """A JSON file of the result."""
        return json.loads((Path(self.outputs["result"]["folder"]) / name).read_text())

    def outcome(self, step: str) -> str:
        """How a step ended."""
        return str(self.of("step_ended", step)[-1]["outcome"])

    @property
    def outcomes(self) -> dict[str, str]:
        """How each step ended."""
        return {it["step"]: it["outcome"] for it in self.of("step_ended")}

    @property
    def error(self) -> dict[str, str]:
        """Why the run failed."""
        [found] = [it["error"] for it in self.of("step_ended") if it["error"] is not None]
        return dict(found)

    def said(self, task: str, step: str | None = None) -> list[str]:
        """The lines of a task."""
        return [line for it in self.of("lines", step) if it["task"] == task for line in it["text"]]

    def notes(self, step: str | None = None) -> list[str]:
        """The notes, with their hints."""
        return [f"{it['text']} {it['hint'] or ''}" for it in self.of("noted", step)]


def checked(out: str) -> Run:
    """The events of an NDJSON stream; an assertion names the first line that breaks the contract."""
    assert out.endswith("\n"), f"the last line is torn: {out[-300:]!r}"
    events = [json.loads(line) for line in out.splitlines()]
    assert events, "nothing was printed"
    for event in events:
        _event(event)
    _order(events)
    return Run(events)


def _event(event: Event) -> None:
    shape = EVENTS.get(event["type"])
    assert shape is not None, f"unknown type: {event}"
    for name, check in {**COMMON, **shape}.items():
        assert name in event, f"{name} is absent: {event}"
        assert check(event[name]), f"{name} is not as in the contract: {event}"
    for line in _shown(event):
        assert not _CONTROL.search(line), f"a control character gets through: {event}"
    if event["type"] == "step_ended":
        assert (event["error"] is None) == (event["outcome"] in ("done", "skipped")), event
        if event["error"] is None:
            outputs(event["step"], event["outputs"])


def _shown(event: Event) -> list[str]:
    """What a face prints as it is."""
    return (
        [*event.get("text", ())]
        if event["type"] == "lines"
        else [event.get("title", ""), event.get("detail") or ""]
    )


def outputs(step: str, found: Mapping[str, Any]) -> None:
    """Check what a step leaves."""
    for name, check in OUTPUTS[step].items():
        assert name in found, f"{step}: {name} is absent in {found}"
        assert check(found[name]), f"{step}: {name} is not as in the contract: {found[name]!r}"
    if step == "measure":
        parts = [found["fspf_key"], found["fspf_tag"], found["mrenclave"]]
        if found["form"] == "3":
            assert found["fingerprint"] == "|".join(parts)
        if found["form"] == "4":
            assert found["fingerprint"].split("|")[:3] == parts and found["fingerprint"].count("|") == 3
        if found["form"] == "json":
            assert json.loads(found["fingerprint"])["fingerprint"] == found["mrenclave"]


def _order(events: list[Event]) -> None:
    """One run, begun and ended; its steps one after the other, in the order of the workflow."""
    assert [it["type"] for it in events].count("run_started") == 1 and events[0]["type"] == "run_started"
    assert [it["type"] for it in events].count("run_ended") == 1 and events[-1]["type"] == "run_ended"
    assert len({it["run"] for it in events}) == 1
    running: str | None = None
    seen: list[str] = []
    for event in events:
        if event["type"] == "step_started":
            assert running is None, event
            running = event["step"]
            seen.append(event["step"])
        elif event["type"] == "step_ended":
            assert running in (event["step"], None), event
            running = None
        elif event["step"] is not None:
            assert running == event["step"], event
    assert seen == [step for step in ONBOARD if step in seen]
    last = {it["step"]: it["outputs"] for it in events if it["type"] == "step_ended" and it["error"] is None}
    for step, left in last.items():
        assert events[-1]["outputs"][step] == left, f"run_ended and step_ended differ about {step}"
