"""kill -9 wherever it hurts, then `creamtea resume`: nothing is done twice, and the result is the same."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.e2e import apps
from tests.e2e.chain import Tally
from tests.e2e.contract import ONBOARD
from tests.e2e.house import House, Live
from tests.e2e.strait import Call, Drowned, Moment, Strait, strait

SEND = "eth_sendRawTransaction"
DATA = b"what,amount\nrope,2.5\n"


@pytest.fixture
def sea(house: House, network: dict[str, Any], tmp_path: Path) -> Iterator[tuple[Strait, dict[str, str]]]:
    """A strait in front of the localnet, and the variable that leads through it."""
    with strait(tmp_path / "state", network) as found:
        yield found, {"CREAMTEA_LOCALNET": str(found.folder)}


def test_killed_at_every_send_nothing_is_sent_twice(
    house: House, network: dict[str, Any], ledger: Path, sea: tuple[Strait, dict[str, str]]
) -> None:
    """Each time just before a call leaves, or just after it was answered, whatever the answer was for."""
    channel, env = sea
    (ledger / "rules" / "rounding.py").write_text(apps.ROUNDING + "# another app than those of other tests\n")
    (ledger.parent / "data.csv").write_bytes(DATA)
    (ledger.parent / "secret").write_text("resumed-secret-77\n")
    before = Tally.of(network)
    words: list[str | Path] = [
        "run", "onboard", "--json", "--yes", "--project", ledger, "--image", house.image("sent"), "--dataset",
        ledger.parent / "data.csv", "--app-secret-file", ledger.parent / "secret", "--args", "report saved twice",
    ]  # fmt: skip
    kills: list[tuple[str, str, Moment]] = [
        ("deploy_app", SEND, "after"), ("encrypt_dataset", SEND, "after"),
        ("push_secrets", "POST /secrets/web3", "after"), ("request", SEND, "before"), ("request", SEND, "after"),
    ]  # fmt: skip
    for step, name, moment in kills:
        live = house.start(*words, env=env)
        _kill(channel, live, name, moment)
        ended = live.end()
        house.remember(ended)
        assert ended.code == -9, f"{step}: {ended.out[-3000:]} {ended.err}"
        assert json.loads(live.lines[-1])["step"] == step
        words = ["resume", "--json", "--yes", "--project", ledger]
    channel.plan = lambda _moment, _call: None
    ended = house.resume(ledger, env=env)
    run = ended.run()
    assert ended.code == 0, run.error
    assert set(run.outcomes) == set(ONBOARD)
    after = Tally.of(network)
    assert after.less(before) == {"apps": 1, "datasets": 1, "deals": 1, "sent": 3}
    report = run.written("report.json")
    assert report["total"] == 250 and report["title"] == "Saved Twice"
    assert report["seal"] == apps.seal(DATA, "resumed-secret-77")


def test_killed_in_the_build_and_while_the_task_runs(
    house: House, network: dict[str, Any], ledger: Path
) -> None:
    (ledger / "rules" / "rounding.py").write_text("def cents(amount):\n    return 42\n")
    image = house.image("killed")
    before = Tally.of(network)
    first = house.start(
        "run", "onboard", "--json", "--yes", "--project", ledger, "--image", image, "--args", "wait 2",
        "--no-encrypt-result",
    )  # fmt: skip
    first.until(
        lambda it: it["type"] == "task_changed" and it["step"] == "build" and "scone fspf" in it["title"]
    )
    first.kill()
    house.remember(first.end())
    second = house.start("resume", "--json", "--yes", "--project", ledger)
    second.until(lambda it: it["type"] == "lines" and it["task"] == "app" and "waiting" in it["text"])
    second.kill()
    house.remember(second.end())
    ended = house.resume(ledger)
    run = ended.run()
    assert ended.code == 0, run.error
    assert run.outputs["watch"]["status"] == "COMPLETED"
    assert run.written("report.json")["total"] == 42
    assert Tally.of(network).less(before) == {"apps": 1, "datasets": 0, "deals": 1, "sent": 2}


def _kill(channel: Strait, live: Live, name: str, moment: Moment) -> None:
    """Kill the program at its next call of this name."""

    def plan(now: Moment, call: Call) -> None:
        if now == moment and call.name.startswith(name):
            live.kill()
            live.process.wait()
            raise Drowned

    channel.plan = plan
