"""What a killed localnet leaves in the engine is removed; what a living one has stays."""

from __future__ import annotations

import secrets
import subprocess
import sys
from pathlib import Path

import pytest

from workflows.containers.engine import Engine
from workflows.core.journal import Journal
from workflows.core.manifest import Manifest
from workflows.core.step import Context
from workflows.localnet.images import root_image
from workflows.localnet.leftovers import LABEL, UNOWNED, labels, sweep
from workflows.steps import clients

pytestmark = pytest.mark.engine


def _dead() -> dict[str, str]:
    """The labels of a process of this machine that has ended."""
    program = "from workflows.localnet.leftovers import *; print(labels()[LABEL])"
    said = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    return {LABEL: said.stdout.strip()}


def test_only_what_belongs_to_ended_processes_of_this_machine_is_removed() -> None:
    name = f"creamtea-test-{secrets.token_hex(4)}"
    with Engine.connect() as engine:
        image = root_image(engine, "python", lambda _: None)
        owners = {"dead": _dead(), "living": labels(), "foreign": {LABEL: "0123456789ab.0123456789ab.1"}}
        made = {}
        try:
            for who, mark in owners.items():
                engine.make_network(f"{name}-{who}", mark)
                engine.make_volume(f"{name}-{who}", mark)
                made[who] = engine.create(image, ["/bin/true"], network=f"{name}-{who}", labels=mark)
            removed = sweep(engine)
            # That of the dead process may have been another localnet's to remove: each sweeps when it starts.
            assert not {f"{name}-living", f"{name}-foreign"} & {*removed["networks"], *removed["volumes"]}
            left = {
                "containers": {c["Id"] for c in engine.api.containers(all=True, filters={"label": LABEL})},
                "networks": {n["Name"] for n in engine.api.networks(names=[name])},
                "volumes": {v["Name"] for v in engine.api.volumes(filters={"name": name})["Volumes"] or ()},
            }
            assert made["dead"].id not in left["containers"]
            assert {made["living"].id, made["foreign"].id} <= left["containers"]
            assert left["networks"] == left["volumes"] == {f"{name}-living", f"{name}-foreign"}
        finally:
            for who, container in made.items():
                container.remove()
                engine.remove_network(f"{name}-{who}")
                engine.remove_volume(f"{name}-{who}")


def test_what_is_made_of_an_image_of_an_ended_process_stays() -> None:
    """Images inherit labels: a container of a base that another localnet made is its user's, not a leftover."""
    with Engine.connect() as engine:
        image = root_image(engine, "python", lambda _: None)
        tag = f"creamtea-test/unowned:{secrets.token_hex(4)}"
        try:
            with engine.create(image, ["/bin/true"], labels=_dead()) as container:
                engine.api.commit(container.id, *tag.split(":"), changes=UNOWNED)
            with engine.create(tag, ["/bin/true"]) as container:
                sweep(engine)
                assert container.inspect()["Config"]["Labels"][LABEL] == ""
        finally:
            engine.remove(tag, force=True)


def test_a_run_marks_what_it_makes_and_removes_what_killed_runs_left(tmp_path: Path) -> None:
    with Engine.connect() as engine:
        image = root_image(engine, "python", lambda _: None)
        left = engine.create(image, ["-"], entrypoint=[], labels=_dead())
        ctx = Context(tmp_path, Journal(tmp_path), Manifest(tmp_path), workflow="onboard", run="r")
        try:
            found = {
                it["Id"] for it in clients.engine(ctx).api.containers(all=True, filters={"label": LABEL})
            }
            assert left.id not in found
            with clients.engine(ctx).create(image, ["-"], entrypoint=[]) as container:
                assert container.inspect()["Config"]["Labels"][LABEL] == labels()[LABEL]
        finally:
            ctx.close()
            left.remove()
