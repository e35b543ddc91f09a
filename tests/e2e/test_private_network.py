"""A class: one machine runs the network, a student with a home of their own goes through a whole task on it."""

from __future__ import annotations

import json
from pathlib import Path

from tests.e2e.classroom import NAME, Classroom
from tests.e2e.house import House
from workflows.iexec import wallet
from workflows.localnet.genesis import account


def test_a_student_goes_through_a_whole_task_on_the_network_of_a_class(
    house: House, lesson: Classroom, ledger: Path, ledger_image: str, tmp_path: Path
) -> None:
    ann = lesson.person("ann")
    env = lesson.own_home(tmp_path / "home")
    network = ann.given["network"]
    (ledger / "salaries.txt").write_text("1 2 3\n")
    words = ("--image", ledger_image, "--args", "report sealed", "--dataset", ledger / "salaries.txt")
    ended = house.onboard(ledger, "--network", network, *words, env=env)
    assert ended.code == 2 and ended.run().error["name"] == "no_wallet"
    public = wallet.import_key(
        account("requester").key.hex(), "everybody-knows", tmp_path / "public", simulated=True, work=2
    )
    (tmp_path / "word").write_text("everybody-knows\n")
    signed = ("--wallet", public.path, "--password-file", tmp_path / "word")
    ended = house.onboard(ledger, "--network", network, *words, *signed, env=env)
    assert ended.code == 1 and ended.run().error["name"] == "public_key_wallet"

    ended = house.onboard(ledger, *words, *ann.words, env=env)
    run = ended.run()
    assert ended.code == 0, run.error
    assert run.written("report.json")["title"] == "Sealed"
    assert run.outputs["network"] == {"name": NAME, "chain_id": 65535, "simulated": True}
    assert not (
        tmp_path / "home" / "none"
    ).exists()  # nothing of it came from a localnet of the student's own
    assert network in (ledger / "creamtea.toml").read_text()
    app = run.outputs["deploy_app"]["app"]
    seen = house.creamtea("verify", app, "--network", network, "--json", env=env)
    assert seen.code == 0, seen.out
    assert json.loads(seen.out)["matches"] is True
