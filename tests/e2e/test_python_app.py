"""A newcomer's Python app with data and secrets, from its folder to the decrypted result."""

from __future__ import annotations

import base64
import hashlib
import json
from pathlib import Path
from typing import Any

from tests.e2e import apps
from tests.e2e.contract import ONBOARD
from tests.e2e.house import House
from tests.e2e.leaks import Needles
from tests.e2e.onboarded import DATA, DEVELOPER, FIRST, INPUT, SECOND, Onboarded


def test_every_step_was_done_and_told_as_in_the_contract(onboarded: Onboarded) -> None:
    run = onboarded.run
    assert onboarded.ended.err == ""
    # Equal sources are built once: another test may have been first.
    assert {**run.outcomes, "build": "done"} == dict.fromkeys(ONBOARD, "done")
    assert run.end["outcome"] == "done"
    assert run.outputs["network"] == {"name": "localnet", "chain_id": 65535, "simulated": True}
    assert run.outputs["watch"]["status"] == "COMPLETED"
    phases = ["initialize", "session", "attestation", "pre-compute", "app", "post-compute", "finalize"]
    states = {it["task"]: it["state"] for it in run.of("task_changed", "watch")}
    assert set(states) >= set(phases) and set(states.values()) == {"done"}
    for stage in ("pre-compute", "app", "post-compute"):
        assert any("SIMULATED" in line for line in run.said(stage, "watch")), stage


def test_the_result_is_what_the_app_computes_from_its_inputs(onboarded: Onboarded) -> None:
    run = onboarded.run
    folder = Path(run.outputs["result"]["folder"])
    assert folder.is_relative_to(onboarded.project)
    assert sorted(run.outputs["result"]["files"]) == ["computed.json", "pages/one.txt", "report.json"]
    assert json.loads((folder / "report.json").read_text()) == {
        "title": "Quarterly Report",
        "total": 130000,
        "seal": apps.seal(DATA, DEVELOPER, FIRST, SECOND),
        "inputs": [hashlib.sha256(INPUT).hexdigest()],
    }
    assert (folder / "pages" / "one.txt").read_text() == "page one\n"


def test_no_secret_is_anywhere_but_where_it_belongs(
    house: House, network: dict[str, Any], onboarded: Onboarded
) -> None:
    project, ended, run, volumes = onboarded.project, onboarded.ended, onboarded.run, onboarded.volumes
    state = project / ".creamtea"
    key_file = state / "keys" / "data.csv.key"
    secrets = Needles(
        data=DATA[20:60], key=base64.b64decode(key_file.read_text()), developer=DEVELOPER.encode(),
        first=FIRST.encode(), second=SECOND.encode(),
    )  # fmt: skip
    private = Needles(pkcs8=b"-----BEGIN PRIVATE KEY-", rsa=b"-----BEGIN RSA PRIVATE KEY-")
    assert secrets.found_in(b"".join(path.read_bytes() for path in (project.parent / "kept").iterdir())) == [
        "data", "developer", "first", "second",
    ]  # fmt: skip
    assert secrets.found_in(key_file.read_bytes()) == ["key"]
    assert secrets.found_under(project, skip=[key_file]) == private.found_under(project) == []
    assert secrets.found_in((ended.out + ended.err).encode()) == []
    history = house.engine.api.history(run.outputs["build"]["image_id"])
    record = house.engine.api.inspect_image(run.outputs["build"]["image_id"])
    assert secrets.found_in(json.dumps([history, record]).encode()) == []
    # The localnet's private keys are its own; what it keeps of others it must not keep in the clear.
    result = Needles(title=b"Quarterly Report", seal=apps.seal(DATA, DEVELOPER, FIRST, SECOND).encode())
    for needles in (secrets, result):
        own = [house.state / "keys", house.state / "beneficiary"]
        assert needles.found_under(house.state, skip=own) == []
        assert [
            needles.found_in((house.home / f"localnet.{name}").read_bytes()) for name in ("out", "err")
        ] == [[], []]
        assert needles.found_in(b"".join(volumes)) == []
    assert any(b"SCONEVOL1" in part and b"iexec_in" in part for part in volumes)
    assert any(b"SCONEVOL1" in part and b"iexec_out" in part for part in volumes)


def test_private_files_are_private(house: House, onboarded: Onboarded) -> None:
    """Whatever the umask: `House` runs everything with umask 0."""
    for root in (
        onboarded.project / ".creamtea",
        house.state / "keys",
        house.state / "beneficiary",
        house.state / "sms",
    ):
        for path in (root, *root.rglob("*")):
            if path.suffix != ".pub":
                allowed = 0o700 if path.is_dir() else 0o600
                assert path.stat().st_mode & 0o777 & ~allowed == 0, f"{path} {path.stat().st_mode:o}"
