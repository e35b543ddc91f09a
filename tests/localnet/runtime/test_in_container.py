"""The file shield in containers of a stand-in base: as it is built, as other users, read-only, without capabilities."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest

from workflows.containers.container import Ran, run_to_end
from workflows.containers.engine import Engine
from workflows.localnet.images import stand_in
from workflows.sgx.pki import Pki

pytestmark = pytest.mark.engine

# What a Dockerfile's RUN lines do: the regions of protect-fs.sh, and one encrypted folder of which the image
# keeps ciphertext only. /notes is a link into memory, made at build time.
BUILD = """set -e
export SCONE_MODE=sim SCONE_HEAP=64M
mkdir /app /plain
echo 'import os; print("app", os.getuid(), open("/notes/n.txt").read())' > /app/app.py
echo -n 'only in memory' > /plain/n.txt
ln -s /dev/shm/scone/notes /notes
scone fspf create /fspf.pb
scone fspf addr /fspf.pb / --not-protected --kernel /
for folder in /usr /bin /lib /etc/ssl /sbin /app; do
  scone fspf addr /fspf.pb $folder --authenticated --kernel $folder
  scone fspf addf /fspf.pb $folder $folder
done
scone fspf addr /fspf.pb /notes --encrypted --kernel /encrypted/notes
scone fspf addf /fspf.pb /notes /plain /encrypted/notes
rm -r /plain
scone fspf encrypt /fspf.pb
"""


@dataclass
class Image:
    engine: Engine
    name: str
    shield: dict[str, str]

    def run(self, *command: str, **settings: Any) -> Ran:
        entrypoint = settings.pop("entrypoint", ["python3"])
        environment = {"SCONE_MODE": "auto", **self.shield}
        return self.engine.run(
            self.name, command, entrypoint=entrypoint, environment=environment, timeout=120, **settings
        )


@pytest.fixture(scope="module")
def image(pki: Pki) -> Iterator[Image]:
    with Engine.connect() as engine:
        base = stand_in(engine, "python", lambda event: None, root_pem=pki.root_pem.encode())
        name = "creamtea-test/protected"
        try:
            with engine.create(base.image, ["-c", BUILD], entrypoint=["sh"]) as container:
                built = run_to_end(container, 120, 1 << 20)
                assert built.code == 0, built.err
                words = built.out.split("Encrypted", 1)[1].split()
                engine.api.commit(container.id, repository=name, tag="1")
            shield = {"SCONE_FSPF": "/fspf.pb", "SCONE_FSPF_TAG": words[7], "SCONE_FSPF_KEY": words[9]}
            yield Image(engine, f"{name}:1", shield)
        finally:
            engine.remove(f"{name}:1", force=True)
            engine.remove(base.image, force=True)


@pytest.mark.parametrize(
    ("settings", "user"),
    [
        ({}, 0),
        ({"cap_drop": ["ALL"], "security_opt": ["no-new-privileges"]}, 0),
        ({"read_only": True}, 0),
        ({"user": "1234"}, 1234),
        ({"user": "1234", "read_only": True, "cap_drop": ["ALL"]}, 1234),
    ],
)
def test_it_runs_whoever_runs_it(image: Image, settings: dict[str, Any], user: int) -> None:
    ran = image.run("/app/app.py", **settings)
    assert (ran.code, ran.out) == (0, f"app {user} only in memory"), ran.err


def test_the_image_holds_ciphertext_only(image: Image) -> None:
    ran = image.run("-rlF", "only in memory", "/encrypted", "/app", "/fspf.pb", entrypoint=["grep"])
    assert ran.out == ""


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ("echo >> /app/app.py", "/app/app.py was changed"),
        ("touch /app/sitecustomize.py", "/app/sitecustomize.py was added"),
        ("rm /app/app.py", "/app/app.py is missing"),
        ("chmod 600 /app/app.py", "/app/app.py was changed"),
        ("touch /usr/lib/python3/dist-packages/six.py", "/usr/lib/python3/dist-packages/six.py was added"),
        ("rm /bin && ln -s /tmp /bin", "/bin was changed"),
        ("echo > /encrypted/notes/n.txt", "/encrypted/notes/n.txt was changed"),
    ],
)
def test_what_was_altered_is_named(image: Image, change: str, named: str) -> None:
    ran = image.run("-c", f"{change}; exec /usr/local/bin/python3 /app/app.py", entrypoint=["/usr/bin/dash"])
    assert ran.code == 244
    assert named in ran.err
    assert ran.out == ""


def test_the_rest_of_the_system_may_change(image: Image) -> None:
    change = "echo 127.0.0.1 cas >> /etc/hosts; touch /anything; exec python3 /app/app.py"
    assert image.run("-c", change, entrypoint=["sh"]).code == 0


def test_pip_and_venv_work_through_the_launcher(image: Image) -> None:
    script = "python3 -m pip --version && python3 -c 'import sys; print(sys.executable)' && scone --version"
    ran = image.engine.run(image.name, ["-c", script], entrypoint=["sh"])
    assert ran.code == 0, ran.err
    assert "/usr/local/bin/python3" in ran.out
    assert "SIMULATED" in ran.out
