"""Runs that stop before anything is asked of the network: what is wrong is named, and the exit code says its kind."""

from __future__ import annotations

import re
import signal
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.chain import Tally
from tests.e2e.house import House


def test_no_engine(house: House, ledger: Path, tmp_path: Path) -> None:
    dead = f"unix://{tmp_path}/no.sock"
    ended = house.onboard(ledger, env={"DOCKER_HOST": dead})
    run = ended.run()
    assert ended.code == 3 and run.end["outcome"] == "failed"
    assert list(run.outcomes) == ["doctor"]
    assert run.error["name"] == "engine_no_socket" or run.error["name"] == "engine", run.error
    assert dead.removeprefix("unix://") in run.error["message"] and run.error["hint"]
    plain = house.creamtea(
        "run", "onboard", "--plain", "--yes", "--project", ledger, env={"DOCKER_HOST": dead}
    )
    assert plain.code == 3 and "no.sock" in plain.out + plain.err
    doctor = house.creamtea("doctor", "--json", env={"DOCKER_HOST": dead})
    [engine] = [it for it in doctor.document()["checks"] if it["name"] == "engine"]
    assert doctor.code == 3 and engine["ok"] is False and engine["hint"]


@pytest.mark.usefixtures("network")
def test_a_dockerfile_that_does_not_build(house: House, ledger: Path) -> None:
    (ledger / "Dockerfile").write_text(
        "FROM sconecuratedimages/public-apps:python-3.7.3-alpine3.10-scone3.0\n"
        "COPY main.py /app/main.py\n"
        "RUN echo looking for the anvil; echo it is not here >&2; exit 41\n"
        'ENTRYPOINT ["python3", "/app/main.py"]\n'
    )
    image = house.image("broken")
    ended = house.onboard(ledger, "--image", image)
    run = ended.run()
    assert ended.code == 1 and run.outcome("build") == "failed"
    assert run.error["name"] == "build_failed" and "exit 41" in run.error["message"]
    assert re.match(r"Dockerfile\.scone line [0-9]+: ", run.error["hint"])
    lines = [line for it in run.of("lines", "build") for line in it["text"]]
    assert {"looking for the anvil", "it is not here"} <= set(lines)
    [failed] = {it["task"] for it in run.of("task_changed", "build") if it["state"] == "failed"}
    assert "it is not here" in run.said(failed)
    log = Path(run.end["log"]) / "steps" / "build.log"
    assert "it is not here" in log.read_text()
    assert not house.engine.exists(image) and house.leftovers() == []
    plain = house.creamtea("resume", "--plain", "--yes", "--project", ledger)
    assert plain.code == 1 and "it is not here" in plain.out and str(log.parent.parent.parent) in plain.out


@pytest.mark.usefixtures("network")
def test_a_missing_value_is_named(house: House, place: Path) -> None:
    project = place / "unclear"
    (project / "helpers").mkdir(parents=True)
    (project / "helpers" / "part.py").write_text("print('start me?')\n")
    ended = house.onboard(project, "--image", house.image("unclear"))
    run = ended.run()
    assert ended.code == 2, run.error
    assert "--entrypoint" in run.error["message"] + run.error["hint"], run.error


@pytest.mark.parametrize(
    ("named", "value"),
    [
        ("--dataset", "nowhere.csv"), ("--heap", "1.5X"), ("--app-secret-file", "nowhere"), ("--form", "5"),
        ("--requester-secret", "0=main.py"), ("--category", "9"), ("--image", "UPPER"), ("--network", "nowhere"),
    ],
)  # fmt: skip
def test_a_value_that_cannot_be_used_is_named_before_anything_is_done(
    house: House, ledger: Path, named: str, value: str
) -> None:
    ended = house.onboard(ledger, named, value)
    error = ended.document()["error"]
    assert (
        ended.code == 2
        and error["name"] == "usage"
        and error["message"].startswith(f"{named}: ")
        and error["hint"]
    )
    assert named in ended.err
    assert not (ledger / "Dockerfile.scone").exists()


@pytest.mark.usefixtures("network")
def test_data_and_secrets_beside_the_app_get_into_no_image(house: House, ledger: Path) -> None:
    """A newcomer keeps all in one folder."""
    files = {
        "data.csv": "a dataset of the vault",
        "pepper.txt": "a developer's secret",
        "rules/mine.txt": "my own secret",
    }
    for name, content in files.items():
        (ledger / name).write_text(content)
    ended = house.onboard(
        ledger, "--only", "doctor", "--dataset", ledger / "data.csv", "--app-secret-file", ledger / "pepper.txt",
        "--requester-secret", f"1={ledger / 'rules' / 'mine.txt'}",
    )  # fmt: skip
    assert ended.code == 0
    image = house.image("beside")
    live = house.start("resume", "--json", "--yes", "--project", ledger, "--image", image)
    live.until(lambda it: it["type"] == "step_ended" and it["step"] == "measure")
    live.kill()
    house.remember(live.end())
    for name in files:
        assert house.engine.read_file(image, f"/app/{name}") is None, name
    assert house.engine.read_file(image, "/app/rules/rounding.py") is not None


def test_an_unknown_flag_is_a_usage_error(house: House, ledger: Path) -> None:
    ended = house.creamtea("run", "onboard", "--project", ledger, "--json", "--datset", "x")
    assert ended.code == 2 and "--datset" in ended.err and ended.document()["error"]["name"] == "usage"


@pytest.mark.usefixtures("network")
def test_nothing_is_signed_without_a_yes(
    house: House, network: dict[str, Any], ledger: Path, ledger_image: str
) -> None:
    before = Tally.of(network)
    ended = house.creamtea("run", "onboard", "--json", "--project", ledger, "--image", ledger_image)
    house.remember(ended)
    run = ended.run()
    assert ended.code == 2 and run.error["name"] == "unconfirmed", run.error
    assert "--yes" in run.error["hint"]
    [asked] = [it["step"] for it in run.of("asked") if it["kind"] == "confirm"]
    assert run.events[-2]["step"] == asked and asked in ("deploy_app", "request")
    assert Tally.of(network) == before


def test_two_runs_in_one_project(house: House, network: dict[str, Any], ledger: Path) -> None:
    """The second is refused while the first one runs; afterwards it may."""
    words = ["run", "onboard", "--only", "doctor", "--json", "--yes", "--project", str(ledger)]
    first = house.start(*words)
    first.until(lambda it: it["type"] == "run_started")
    first.signal(signal.SIGSTOP)
    second = house.creamtea(*words)
    assert second.code == 1 and second.document()["error"]["name"] == "locked"
    assert str(first.process.pid) in second.err
    first.signal(signal.SIGCONT)
    assert first.end().code == 0
    assert house.creamtea(*words).code == 0


@pytest.mark.usefixtures("network")
def test_data_that_is_in_the_image_already_is_not_used(house: House, ledger: Path) -> None:
    """It was named after the build, as at a prompt; then the next run leaves it out, and the dataset is taken."""
    data = ledger / "data.txt"  # by its name no data: .csv would have stayed out of the draft
    data.write_text("what,amount\n" + "vault 7 rent,1200.25\n" * 5)
    (ledger / "table.csv").write_text("a,1\n")
    image = house.image("named-late")
    ended = house.onboard(ledger, "--image", image, workflow="deploy")
    assert ended.code == 0 and house.engine.read_file(image, "/app/data.txt") == data.read_bytes()
    assert house.engine.read_file(image, "/app/table.csv") is None
    assert "table.csv stays out" in ended.out
    ended = house.onboard(ledger, "--only", "encrypt_dataset", "--dataset", data)
    error = ended.run().error
    assert ended.code == 1 and error["name"] == "dataset_in_image", error
    assert "/app/data.txt" in error["message"] and "--from dockerfile" in error["hint"]
    assert not list((ledger / ".creamtea").glob("datasets/*.enc"))
    ended = house.onboard(ledger, "--from", "dockerfile")
    assert ended.code == 0 and ended.run().outcome("build") == "done", ended.out[-2000:]
    assert ended.run().outputs["encrypt_dataset"]["dataset"]
    assert house.engine.read_file(image, "/app/data.txt") is None
