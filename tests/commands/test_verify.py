"""`creamtea verify`: apps on a real chain against real images, right, moved, tampered with, or out of reach."""

from __future__ import annotations

import json
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from eth_account import Account

from tests.scone.oven import APP, Oven, project
from workflows.cli import main
from workflows.containers.context import Context
from workflows.containers.engine import Engine
from workflows.core.journal import FOLDER
from workflows.iexec.poco import Poco
from workflows.iexec.records import NewApp
from workflows.localnet.chain import Chain
from workflows.scone import image, record, recording

pytestmark = [pytest.mark.engine, pytest.mark.chain]
NETWORK = """
[{name}]
title = "Of the tests"
note = "simulated"
chain_id = {chain_id}
native = true
simulated = {simulated}
rpc = "{rpc}"
hub = "{hub}"

[{name}.registries]
app = "{app}"
dataset = "{dataset}"
workerpool = "{workerpool}"
"""


@dataclass
class Town:
    """A built app, and a chain to register it on; every call of `verify` has its own fresh document."""

    oven: Oven
    chain: Chain
    folder: Path
    tag: str
    capsys: pytest.CaptureFixture[str] | None = None

    def register(self, *, form: str = "4", tag: str = "", checksum: str = "", mrenclave: bytes = b"") -> str:
        found = image.measure(self.oven.engine, self.tag)
        account = Account.from_key(self.chain.key("owner"))
        poco = Poco(self.chain.rpc, self.chain.hub, account, chain_id=self.chain.chain_id)
        new = NewApp(
            owner=account.address,
            name=f"tea {uuid.uuid4().hex}",
            multiaddr=tag or self.tag,
            checksum=checksum or "0x" + found.image.id.rpartition(":")[2],
            mrenclave=mrenclave or found.fingerprint.write(form).encode(),  # type: ignore[arg-type]
        )
        transaction = poco.deploy_app(new)
        poco.send(transaction)
        return poco.deployed_address("app", poco.wait(transaction), transaction)

    def verify(self, app: str, *words: str, network: str = "trial") -> tuple[int, dict[str, Any]]:
        assert self.capsys is not None
        self.capsys.readouterr()
        code = main(["verify", app, "--network", network, "--project", str(self.folder), *words, "--json"])
        return code, json.loads(self.capsys.readouterr().out)

    def rebuilt(self, text: str) -> None:
        """Another image under the app's name."""
        self.oven.built(Context(self.folder, text), tag=self.tag)


@pytest.fixture(scope="module")
def oven() -> Iterator[Oven]:
    with Engine.connect() as engine:
        made = Oven(engine)
        yield made
        made.clear()


@pytest.fixture(scope="module")
def baked(oven: Oven, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    folder = project(tmp_path_factory.mktemp("town") / "tea")
    made = oven.bake(folder, oven.draft(folder))
    kept = recording.take(oven.engine, made.image_id, name="tea")
    record.keep(folder / FOLDER, kept)
    return folder, made.image_id


@pytest.fixture
def town(
    oven: Oven, baked: tuple[Path, str], chain: Chain, home: Path, capsys: pytest.CaptureFixture[str]
) -> Town:
    path = home / "xdg_config_home" / "creamtea" / "networks.toml"
    path.parent.mkdir(parents=True)
    entries = [
        NETWORK.format(
            name=name,
            simulated=simulated,
            chain_id=chain.chain_id,
            rpc=chain.rpc,
            hub=chain.hub,
            **chain.registries,
        )
        for name, simulated in (("trial", "true"), ("live", "false"))
    ]
    path.write_text("".join(entries))
    tag = f"creamtea-test/verify:{uuid.uuid4().hex[:12]}"
    oven.engine.tag(baked[1], tag)
    oven.tags.append(tag)
    return Town(oven, chain, baked[0], tag, capsys)


def results(document: dict[str, Any]) -> dict[str, bool | None]:
    return {check["name"]: check["ok"] for check in document["checks"]}


@pytest.mark.parametrize("form", ["3", "4", "json"])
def test_the_app_that_was_built(town: Town, form: str) -> None:
    app = town.register(form=form)
    code, document = town.verify(app)
    assert code == 0, [check for check in document["checks"] if not check["ok"]]
    assert document["matches"] is True and document["app"] == app and document["causes"] == []
    expected = {"checksum", "runtime", "mrenclave"}
    expected |= {"entrypoint", "heap"} if form == "json" else {"fspf_key", "fspf_tag", "files"}
    assert set(results(document)) == expected | ({"entrypoint"} if form == "4" else set())
    assert set(results(document).values()) == {True}


def test_nothing_is_needed_but_to_read(town: Town, home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    app = town.register()
    monkeypatch.chdir(home)
    before = sorted(home.rglob("*"))
    assert town.verify(app)[0] == 0
    assert sorted(home.rglob("*")) == before  # no wallet, no state, no folder of a project
    assert sorted(path.name for path in (town.folder / FOLDER).iterdir()) == [record.FOLDER]


def test_another_build_under_the_same_name(town: Town, tmp_path: Path) -> None:
    app = town.register()
    edited = project(tmp_path / "tea", **{"app.py": APP.replace("tea", "coffee")})
    town.oven.bake(edited, town.oven.draft(edited), tag=town.tag)
    code, document = town.verify(app)
    assert code == 1 and document["matches"] is False
    assert {name for name, ok in results(document).items() if not ok} == {
        "checksum",
        "fspf_key",
        "fspf_tag",
        "files",
    }
    assert document["causes"][0]["sentence"] == "/app/app.py changed, 1 line"
    assert document["causes"][-1]["part"] == "fspf_key"


def test_a_file_changed_behind_the_fingerprint(town: Town) -> None:
    """The fingerprint in /build is copied from the honest image; what the enclave would run is not."""
    app = town.register()
    town.rebuilt(f"FROM {town.tag}\nRUN echo 'print(1)' >> /app/app.py\n")
    code, document = town.verify(app)
    assert code == 1
    found = results(document)
    assert found["fspf_key"] and found["fspf_tag"] and found["mrenclave"]
    assert not found["checksum"] and not found["files"]
    check = next(one for one in document["checks"] if one["name"] == "files")
    assert "/app/app.py was changed" in check["actual"]
    assert document["causes"][0]["path"] == "/app/app.py"
    assert any("outside what is measured" in warning for warning in document["warnings"])


def test_another_heap(town: Town) -> None:
    app = town.register(form="json")
    town.rebuilt(f"FROM {town.tag}\nENV SCONE_HEAP=2G\n")
    code, document = town.verify(app)
    assert code == 1
    found = results(document)
    assert not found["mrenclave"] and not found["heap"] and found["entrypoint"]
    assert document["causes"][0]["sentence"] == "heap 1 GiB → 2 GiB"


def test_an_image_of_ones_own(town: Town, oven: Oven, baked: tuple[Path, str]) -> None:
    app = town.register(tag="registry.invalid/tea:1")
    assert town.verify(app, "--image", baked[1])[0] == 0
    code, document = town.verify(app, "--image", "creamtea-test/none:1")
    assert code == 2 and document["error"]["name"] == "no_image"


def test_a_simulated_image_on_a_live_network(town: Town) -> None:
    code, document = town.verify(town.register(), network="live")
    assert code == 1
    assert results(document)["runtime"] is False


def test_what_is_out_of_reach(town: Town) -> None:
    nowhere = town.register(tag="127.0.0.1:9/tea:1")
    assert town.verify(nowhere)[0] == 3
    gone = town.register(
        tag=f"tea-{uuid.uuid4().hex[:8]}:1"
    )  # of no registry: nothing of that name is pulled
    code, document = town.verify(gone)
    assert code == 3 and document["error"]["name"] == "no_image"
    code, document = town.verify(nowhere, "--rpc", "http://127.0.0.1:9")
    assert code == 3 and document["error"]["name"] == "chain_unreachable"


@pytest.mark.parametrize(
    ("app", "code", "name"), [("0x" + "12" * 20, 1, "no_app"), ("tea", 2, "address"), ("0x12", 2, "address")]
)
def test_what_is_no_app(town: Town, app: str, code: int, name: str) -> None:
    found, document = town.verify(app)
    assert (found, document["error"]["name"]) == (code, name)


def test_a_fingerprint_that_is_none(town: Town) -> None:
    code, document = town.verify(town.register(mrenclave=b"hello"))
    assert code == 1 and document["error"]["name"] == "invalid_fingerprint"


def test_the_diff_of_an_app(town: Town, capsys: pytest.CaptureFixture[str]) -> None:
    app = town.register()
    words = ["--network", "trial", "--project", str(town.folder), "--json"]
    capsys.readouterr()
    assert main(["diff", f"app:{app}", "1", *words]) == 0
    document = json.loads(capsys.readouterr().out)
    assert document["a"]["name"] == f"app {app} (build 1 · tea)"
    assert main(["diff", app, town.tag, *words]) == 0


def test_plain_lines(town: Town, capsys: pytest.CaptureFixture[str]) -> None:
    app = town.register()
    town.rebuilt(f"FROM {town.tag}\nENV SCONE_HEAP=2G\n")
    capsys.readouterr()
    assert main(["verify", app, "--network", "trial", "--project", str(town.folder)]) == 1
    text = capsys.readouterr().out
    assert "✗ mrenclave" in text and "✓ fspf_tag" in text
    assert "the image is NOT the registered app" in text
    assert " 1. heap 1 GiB → 2 GiB" in text
