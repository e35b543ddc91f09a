"""A class: one machine runs the network, a student with a home of their own goes through a whole task on it."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

from tests.e2e.house import House, localnet, stages
from workflows.iexec import wallet
from workflows.localnet.genesis import account

HERE = "127.0.0.2"


def test_a_student_goes_through_a_whole_task_on_the_network_of_a_class(
    house: House, network: dict[str, Any], ledger: Path, ledger_image: str, tmp_path: Path
) -> None:
    state = tmp_path / "class"
    state.mkdir(mode=0o700)
    # The same development root, so that the images made for the other localnet serve this one too.
    shutil.copytree(house.state / "keys", state / "keys")
    teacher = replace(house, home=tmp_path, env={**house.env, "CREAMTEA_LOCALNET": str(state)})
    with localnet(teacher, "--listen", HERE, "--host", HERE) as status:
        given = teacher.creamtea("localnet", "export", tmp_path / "ann", "--json").document()
        # What the student's machine has: no localnet of its own, and not the teacher's files.
        home = tmp_path / "home"
        env = {"HOME": str(home), "CREAMTEA_LOCALNET": str(home / "none")}
        for name in ("DATA", "CONFIG", "STATE"):
            env[f"XDG_{name}_HOME"] = str(home / name.lower())
        (ledger / "salaries.txt").write_text("1 2 3\n")
        words = ("--network", given["network"], "--image", ledger_image, "--args", "report sealed")
        data = ("--dataset", ledger / "salaries.txt")
        ended = house.onboard(ledger, *words, *data, env=env)
        assert ended.code == 2 and ended.run().error["name"] == "no_wallet"
        public = wallet.import_key(
            account("requester").key.hex(), "everybody-knows", tmp_path / "public", simulated=True, work=2
        )
        (tmp_path / "word").write_text("everybody-knows\n")
        signed = ("--wallet", public.path, "--password-file", tmp_path / "word")
        ended = house.onboard(ledger, *words, *data, *signed, env=env)
        assert ended.code == 1 and ended.run().error["name"] == "public_key_wallet"

        signed = ("--wallet", given["keystore"], "--password-file", given["password_file"])
        ended = house.onboard(ledger, *words, *data, *signed, env=env)
        run = ended.run()
        assert ended.code == 0, run.error
        assert run.written("report.json")["title"] == "Sealed"
        assert run.outputs["network"] == {"name": "at-127-0-0-2", "chain_id": 65535, "simulated": True}
        assert not (home / "none").exists()  # nothing of it came from a localnet of the student's own
        assert given["network"] in (ledger / "creamtea.toml").read_text()
        app = run.outputs["deploy_app"]["app"]
        seen = house.creamtea("verify", app, "--network", given["network"], "--json", env=env)
        assert seen.code == 0, seen.out
        assert json.loads(seen.out)["matches"] is True
        house.made |= stages(status)
    assert house.leftovers(status["pid"]) == []
