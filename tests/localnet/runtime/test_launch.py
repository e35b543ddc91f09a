"""A program under a session: what it gets, what it never gets, and what the runtime refuses."""

from __future__ import annotations

import json
import os
import secrets
import shutil
import signal
import subprocess
import tarfile
import tempfile
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.localnet.runtime.standin import Base, Services
from workflows.localnet.runtime import protect, volumes
from workflows.localnet.runtime.fspf import AUTHENTICATED, ENCRYPTED, NOT_PROTECTED
from workflows.localnet.runtime.places import Places

APP = """
import json, os, sys
seen = {"argv": sys.argv, "orig": sys.orig_argv[0], "env": dict(os.environ), "cwd": os.getcwd()}
print(json.dumps(seen))
"""


def session(command: list[str], **more: Any) -> dict[str, Any]:
    given = {"command": command, "environment": {}, "pwd": "/", "volumes": []}
    return {**given, "fspf_path": None, "fspf_key": None, "fspf_tag": None, **more}


def protected(folder: Path, protection: str = AUTHENTICATED) -> dict[str, str]:
    """The FSPF part of a session for `folder`/app, after it was built."""
    file, app = str(folder / "fspf.pb"), str(folder / "app")
    protect.create(file)
    protect.add_region(file, "/", "/", NOT_PROTECTED, 32, 4096)
    if protection == ENCRYPTED:
        plain = folder / "plain"
        (folder / "app").rename(plain)
        protect.add_region(file, app, app, ENCRYPTED, 32, 4096)
        protect.add_files(file, app, str(plain), app)
    else:
        protect.add_region(file, app, app, AUTHENTICATED, 32, 4096)
        protect.add_files(file, app, app)
    words = protect.encrypt(file).split()
    return {"fspf_path": file, "fspf_tag": words[8], "fspf_key": words[10]}


@pytest.fixture
def app(tmp_path: Path) -> Path:
    folder = tmp_path / "app"
    folder.mkdir()
    (folder / "app.py").write_text(APP)
    return folder / "app.py"


def test_the_session_decides_what_runs(base: Base, services: Services, app: Path) -> None:
    services.session = session(
        ["python3", str(app), "two words"], environment={"SECRET": "s3"}, pwd=str(base.folder)
    )
    ran = base.run("python3", "/not/this.py", HOST="hidden", **services.env)
    assert ran.returncode == 0, ran.stderr
    seen = json.loads(ran.stdout)
    assert seen["argv"] == [str(app), "two words"]
    assert seen["orig"] == "python3"
    assert seen["cwd"] == str(base.folder)
    seen["env"].pop("LC_CTYPE", None)  # Python's own, in the C locale
    assert seen["env"] == {"PATH": os.environ["PATH"], "HOME": "/", "SECRET": "s3"}
    assert [line for line in ran.stderr.splitlines() if "SIMULATED" in line] == ran.stderr.splitlines()
    assert "app-7/app" in ran.stderr
    assert services.asked[0]["config_id"] == "app-7/app"


def test_the_exit_code_is_the_programs(base: Base, services: Services, app: Path) -> None:
    app.write_text("raise SystemExit(7)")
    services.session = session(["python3", str(app)])
    assert base.run("python3", **services.env).returncode == 7
    app.write_text("import os; os.kill(os.getpid(), 9)")
    assert base.run("python3", **services.env).returncode == 128 + 9


def test_signals_reach_the_program(base: Base, services: Services, app: Path) -> None:
    app.write_text(
        "import signal, sys, time\n"
        "signal.signal(signal.SIGTERM, lambda *_: sys.exit(33))\n"
        "print('ready', flush=True)\n"
        "time.sleep(60)\n"
    )
    services.session = session(["python3", str(app)])
    env = {"PATH": os.environ["PATH"], **services.env}
    with subprocess.Popen(base.command("python3"), env=env, stdout=subprocess.PIPE, text=True) as running:
        assert running.stdout is not None
        assert running.stdout.readline() == "ready\n"
        running.send_signal(signal.SIGTERM)
        assert running.wait(30) == 33


def test_a_refused_enclave_runs_nothing(base: Base, services: Services) -> None:
    services.error = "MRENCLAVE is not in the session"
    ran = base.run("python3", "-c", "print('ran')", **services.env)
    assert ran.returncode == 243
    assert "MRENCLAVE is not in the session" in ran.stderr
    assert ran.stdout == ""


def test_a_quote_for_another_nonce_is_refused(base: Base, services: Services) -> None:
    services.stale = True
    ran = base.run("python3", "-c", "print('ran')", **services.env)
    assert ran.returncode == 243
    assert "not for this connection" in ran.stderr


def test_a_cas_of_another_root_is_not_believed(base: Base, services: Services, tmp_path: Path) -> None:
    from workflows.sgx.pki import development_pki

    Path(base.places.settings, "root.pem").write_text(development_pki(tmp_path / "other").root_pem)
    ran = base.run("python3", **services.env)
    assert ran.returncode == 243
    assert services.asked == []


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"SCONE_CAS_ADDR": ""}, "SCONE_CAS_ADDR"),
        ({"SCONE_CAS_ADDR": "localhost:1"}, "CAS localhost:1: Connection refused"),
        ({"SCONE_LAS_ADDR": "localhost:1"}, "LAS localhost:1: Connection refused"),
        ({"SCONE_CAS_ADDR": "cas:port"}, "HOST:PORT"),
        ({"SCONE_CONFIG_ID": "no-service"}, "SESSION/SERVICE"),
        ({"SCONE_MODE": "SIM"}, "simulation mode cannot be attested"),
    ],
)
def test_what_attestation_needs(base: Base, services: Services, changes: dict[str, str], says: str) -> None:
    ran = base.run("python3", "-c", "print('ran')", **{**services.env, **changes})
    assert ran.returncode == 243
    assert says in ran.stderr
    assert ran.stdout == ""


@pytest.mark.parametrize(
    "nonsense",
    [
        {"command": []},
        {"command": "python3 /app/app.py"},
        {"environment": {"A": 1}},
        {"fspf_path": "/fspf.pb"},
        {"fspf_path": "../fspf.pb", "fspf_key": "00" * 32, "fspf_tag": "00" * 16},
        {"volumes": [{"name": "../up", "path": "/in", "key": "00" * 32}]},
        {"volumes": [{"name": "in", "path": "in", "key": "00" * 32}]},
        {"volumes": [{"name": "in", "path": "/in", "key": "00"}]},
    ],
)
def test_a_session_that_makes_no_sense_is_refused(
    base: Base, services: Services, nonsense: dict[str, Any]
) -> None:
    services.session = {**session(["python3", "-c", "print('ran')"]), **nonsense}
    ran = base.run("python3", **services.env)
    assert ran.returncode == 243
    assert ran.stdout == ""


def test_another_program_than_the_measured_one_is_refused(base: Base, services: Services) -> None:
    services.session = session(["/bin/sh", "-c", "echo ran"])
    ran = base.run("python3", **services.env)
    assert ran.returncode == 247
    assert "/bin/sh" in ran.stderr
    assert ran.stdout == ""


def test_protected_files_are_checked_before_anything_runs(base: Base, services: Services, app: Path) -> None:
    services.session = session(["python3", "-B", str(app)], **protected(base.folder))
    assert base.run("python3", **services.env).returncode == 0
    app.write_text("print('altered')")
    ran = base.run("python3", **services.env)
    assert ran.returncode == 244
    assert f"{app} was changed" in ran.stderr
    assert ran.stdout == ""


def test_an_encrypted_region_is_plain_only_in_memory(base: Base, services: Services, app: Path) -> None:
    (app.parent / "words.txt").write_text("the secret of the app")
    app.write_text("import pathlib; print(pathlib.Path(__file__).with_name('words.txt').read_text())")
    services.session = session(["python3", "-B", str(app)], **protected(base.folder, ENCRYPTED))
    assert b"secret" not in (app.parent / "words.txt").read_bytes()
    for _ in range(2):  # a container that is started again finds the region moved aside
        ran = base.run("python3", **services.env)
        assert ran.stdout == "the secret of the app\n", ran.stderr
        assert app.parent.resolve().is_relative_to(base.places.memory)
    stored = base.folder / "app.scone-encrypted"
    (stored / "words.txt").write_bytes(b"another")
    ran = base.run("python3", **services.env)
    assert ran.returncode == 244
    assert f"{stored / 'words.txt'} was changed" in ran.stderr


def test_volumes_go_from_enclave_to_enclave(base: Base, services: Services) -> None:
    key, path = secrets.token_bytes(32), base.folder / "iexec_out"
    volume = {"name": "iexec_out", "path": str(path), "key": key.hex()}
    store = base.volume("iexec_out")
    write = (
        f"import os; os.makedirs({str(path)!r} + '/deep/er'); os.chdir({str(path)!r})\n"
        "open('deep/result.txt', 'w').write('the result' * 1000)\n"
        "os.symlink('result.txt', 'deep/link'); os.chmod('deep', 0o500); raise SystemExit(3)"
    )
    services.session = session(["python3", "-c", write], volumes=[volume])
    ran = base.run("python3", **services.env)
    assert ran.returncode == 3, ran.stderr
    sealed = (store / "volume.enc").read_bytes()
    assert b"the result" not in sealed

    assert sealed.startswith(b"SCONEVOL1")
    plain = AESGCM(key).decrypt(sealed[9:21], sealed[21:], None)
    with tarfile.open(fileobj=BytesIO(plain)) as tar:
        assert tar.getnames() == ["deep", "deep/er", "deep/link", "deep/result.txt"]

    read = (
        f"import os; os.chdir({str(path)!r})\n"
        "print(len(open('deep/link').read()), os.readlink('deep/link'), oct(os.stat('deep').st_mode))"
    )
    services.session = session(["python3", "-c", read], volumes=[volume])
    ran = base.run("python3", **services.env)
    assert ran.stdout == "10000 result.txt 0o40500\n", ran.stderr
    assert (store / "volume.enc").read_bytes() != sealed


def test_a_volume_that_was_altered_opens_nothing(base: Base, services: Services) -> None:
    key = secrets.token_bytes(32)
    volume = {"name": "iexec_in", "path": str(base.folder / "iexec_in"), "key": key.hex()}
    services.session = session(["python3", "-c", "print('ran')"], volumes=[volume])
    file = base.volume("iexec_in") / "volume.enc"
    file.write_bytes(b"")  # an empty file is an empty volume
    assert base.run("python3", **services.env).stdout == "ran\n"
    whole = file.read_bytes()
    for altered in (whole[:-1], whole[:40], b"SCONEVOL2" + whole[9:], whole[:50] + b"X" + whole[51:]):
        file.write_bytes(altered)
        ran = base.run("python3", **services.env)
        assert ran.returncode == 245
        assert ran.stdout == ""
        assert file.read_bytes() == altered


@pytest.mark.parametrize("name", ["../up", "/absolute", "a/../../up", "a//b"])
def test_a_volume_cannot_write_outside_of_itself(base: Base, services: Services, name: str) -> None:
    key, nonce, tar = secrets.token_bytes(32), secrets.token_bytes(12), BytesIO()
    with tarfile.open(fileobj=tar, mode="w") as archive:
        member = tarfile.TarInfo(name)
        member.size = 4
        archive.addfile(member, BytesIO(b"evil"))
    sealed = b"SCONEVOL1" + nonce + AESGCM(key).encrypt(nonce, tar.getvalue(), None)
    (base.volume("in") / "volume.enc").write_bytes(sealed)
    volume = {"name": "in", "path": str(base.folder / "in"), "key": key.hex()}
    services.session = session(["python3", "-c", "print('ran')"], volumes=[volume])
    ran = base.run("python3", **services.env)
    assert ran.returncode == 245
    assert "cannot be unpacked" in ran.stderr


def test_what_is_written_to_a_volume_that_is_not_mounted_is_not_lost_in_silence(
    base: Base, services: Services
) -> None:
    path = base.folder / "out"
    volume = {"name": "out", "path": str(path), "key": "00" * 32}
    services.session = session(["python3", "-c", "pass"], volumes=[volume])
    assert base.run("python3", **services.env).returncode == 0
    services.session["command"][2] = f"open({str(path / 'x')!r}, 'w')"
    ran = base.run("python3", **services.env)
    assert ran.returncode == 245
    assert "not mounted" in ran.stderr


def test_a_mount_point_that_cannot_be_replaced_is_named(base: Base, services: Services) -> None:
    path = base.folder / "busy"
    path.mkdir()
    (path / "file").touch()
    volume = {"name": "busy", "path": str(path), "key": "00" * 32}
    services.session = session(["python3", "-c", "print('ran')"], volumes=[volume])
    ran = base.run("python3", **services.env)
    assert ran.returncode == 240
    assert f"{path} cannot lead to memory" in ran.stderr


def test_a_mount_point_made_at_build_time_is_used(base: Base, services: Services) -> None:
    path = base.folder / "out"
    path.symlink_to(f"{base.places.memory}/out")
    base.volume("out")
    volume = {"name": "out", "path": str(path), "key": "00" * 32}
    code = f"open({str(path / 'x')!r}, 'w').write('x'); print('ran')"
    services.session = session(["python3", "-c", code], volumes=[volume])
    assert base.run("python3", **services.env).stdout == "ran\n"
    assert str(path.readlink()) == f"{base.places.memory}/out"
    assert (base.volume("out") / "volume.enc").stat().st_size > 0


def test_the_file_shield_by_hand(base: Base, app: Path) -> None:
    given = protected(base.folder)
    env = {
        "SCONE_FSPF": given["fspf_path"],
        "SCONE_FSPF_KEY": given["fspf_key"],
        "SCONE_FSPF_TAG": given["fspf_tag"],
    }
    ran = base.run("python3", "-B", str(app), "argument", HOST="seen", **env)
    assert json.loads(ran.stdout)["argv"][1] == "argument"
    assert json.loads(ran.stdout)["env"]["HOST"] == "seen"
    assert given["fspf_key"] not in ran.stdout
    assert base.run("python3", str(app), **{**env, "SCONE_FSPF_TAG": "00" * 16}).returncode == 244
    assert base.run("python3", str(app), **{**env, "SCONE_FSPF_KEY": "00"}).returncode == 241
    app.write_text("")
    assert base.run("python3", str(app), **env).returncode == 244


names = st.from_regex(r"[a-zé \-]{1,8}\.?[a-z]{0,3}", fullmatch=True)
trees = st.recursive(
    st.binary(max_size=50),
    lambda inner: st.dictionaries(names, inner, max_size=4),
)


@given(st.dictionaries(names, trees, max_size=4))
@settings(deadline=None)
def test_any_tree_survives_a_volume(tree: dict[str, Any]) -> None:
    folder = Path(tempfile.mkdtemp())
    try:
        places = Places("", "", str(folder / "memory"), str(folder / "volumes"))
        volume = volumes.Volume("v", str(folder / "at"), bytes(32))
        (folder / "volumes/v").mkdir(parents=True)
        write(Path(volumes.mount(volume, places)), tree)
        volumes.unmount(volume, str((folder / "at").resolve()), places)
        again = volumes.mount(volume, places)
        assert read(Path(again)) == tree
    finally:
        shutil.rmtree(folder)


def write(folder: Path, tree: dict[str, Any]) -> None:
    for name, content in tree.items():
        if isinstance(content, bytes):
            (folder / name).write_bytes(content)
        else:
            (folder / name).mkdir()
            write(folder / name, content)


def read(folder: Path) -> dict[str, Any]:
    return {path.name: path.read_bytes() if path.is_file() else read(path) for path in folder.iterdir()}


def test_a_full_memory_is_said(base: Base, services: Services) -> None:
    """/dev/full stands for a /dev/shm that is too small: writing to it says the same."""
    key = "00" * 32
    store = base.volume("out")
    (store / "volume.enc.new").symlink_to("/dev/full")
    volume = {"name": "out", "path": str(base.folder / "out"), "key": key}
    services.session = session(["python3", "-c", "pass"], volumes=[volume])
    ran = base.run("python3", **services.env)
    assert ran.returncode == 245
    assert "No space left" in ran.stderr
