"""Dataset encryption: round trips, openssl both ways, refusals that leave nothing behind."""

import base64
import hashlib
import os
import signal
import stat
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from workflows.core.failure import Cancelled, Failed, Missing
from workflows.core.step import Cancel
from workflows.iexec import dataset

CHUNK = 1 << 20
SIZES = [0, 1, 15, 16, 17, 4096, CHUNK - 1, CHUNK, CHUNK + 1, 2 * CHUNK + 16]
in_folder = settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)


def sealed(tmp_path: Path, data: bytes) -> tuple[Path, bytes, dataset.Encrypted]:
    key = dataset.new_key()
    (tmp_path / "plain").write_bytes(data)
    return tmp_path / "data.enc", key, dataset.encrypt(tmp_path / "plain", tmp_path / "data.enc", key)


def leftovers(folder: Path, *known: str) -> list[str]:
    return sorted(entry.name for entry in folder.iterdir() if entry.name not in known)


@pytest.mark.parametrize("size", SIZES)
def test_any_size_comes_back(tmp_path: Path, size: int) -> None:
    data = os.urandom(size)
    coded, key, record = sealed(tmp_path, data)
    assert record.size == coded.stat().st_size == 16 + (size // 16 + 1) * 16
    assert record.checksum == "0x" + hashlib.sha256(coded.read_bytes()).hexdigest() == dataset.checksum(coded)
    opened = dataset.decrypt(coded, tmp_path / "again", key, record.checksum)
    assert (tmp_path / "again").read_bytes() == data
    assert (opened.size, opened.form, opened.warnings) == (size, "aes-256-cbc", ())


@pytest.mark.parametrize("size", [0, 1, 16, CHUNK + 5])
def test_openssl_reads_what_we_write(tmp_path: Path, size: int) -> None:
    data = os.urandom(size)
    coded, key, _ = sealed(tmp_path, data)
    raw = coded.read_bytes()
    plain = subprocess.run(
        ["openssl", "enc", "-d", "-aes-256-cbc", "-K", key.hex(), "-iv", raw[:16].hex()],
        input=raw[16:], capture_output=True, check=True,
    )  # fmt: skip
    assert plain.stdout == data


def test_we_read_what_openssl_writes(tmp_path: Path) -> None:
    key, iv, data = os.urandom(32), os.urandom(16), os.urandom(100_003)
    coded = subprocess.run(
        ["openssl", "enc", "-aes-256-cbc", "-K", key.hex(), "-iv", iv.hex()],
        input=data, capture_output=True, check=True,
    )  # fmt: skip
    (tmp_path / "data.enc").write_bytes(iv + coded.stdout)
    dataset.decrypt(tmp_path / "data.enc", tmp_path / "plain", key)
    assert (tmp_path / "plain").read_bytes() == data


def test_the_format_of_sdk_4_is_read_with_a_warning(tmp_path: Path) -> None:
    password = bytes(byte for byte in os.urandom(200) if byte not in (0, 10))[:32]
    (tmp_path / "password").write_bytes(password)
    data = os.urandom(70_000)
    coded = subprocess.run(
        ["openssl", "enc", "-aes-256-cbc", "-pbkdf2", "-iter", "10000", "-md", "sha256",
         "-pass", f"file:{tmp_path / 'password'}"],
        input=data, capture_output=True, check=True,
    )  # fmt: skip
    assert coded.stdout.startswith(b"Salted__")
    (tmp_path / "old.enc").write_bytes(coded.stdout)
    (tmp_path / "old.secret").write_text(base64.b64encode(password).decode() + "\n")
    expected = dataset.checksum(tmp_path / "old.enc")
    opened = dataset.decrypt(
        tmp_path / "old.enc", tmp_path / "plain", dataset.read_key(tmp_path / "old.secret"), expected
    )
    assert (tmp_path / "plain").read_bytes() == data
    assert opened.form == "openssl-salted"
    assert opened.warnings == (dataset.LEGACY_WARNING,)


def test_a_scone_volume_is_named_as_such(tmp_path: Path) -> None:
    import zipfile

    with zipfile.ZipFile(tmp_path / "data.zip", "w") as archive:
        archive.writestr("data/volume.fspf", b"x" * 100)
    with pytest.raises(Failed) as caught:
        dataset.decrypt(tmp_path / "data.zip", tmp_path / "plain", dataset.new_key())
    assert caught.value.name == "scone_volume"
    assert not (tmp_path / "plain").exists()


@in_folder
@given(data=st.binary(max_size=200), where=st.integers(min_value=0), bit=st.integers(0, 7))
def test_a_flipped_bit_never_gets_past_the_checksum(
    tmp_path: Path, data: bytes, where: int, bit: int
) -> None:
    coded, key, record = sealed(tmp_path, data)
    raw = bytearray(coded.read_bytes())
    raw[where % len(raw)] ^= 1 << bit
    coded.write_bytes(raw)
    with pytest.raises(Failed) as caught:
        dataset.decrypt(coded, tmp_path / "again", key, record.checksum)
    assert caught.value.name == "checksum_mismatch"
    assert leftovers(tmp_path, "plain", "data.enc") == []


@in_folder
@given(data=st.binary(max_size=100), cut=st.integers(min_value=1))
def test_without_checksum_wrong_bytes_have_one_error_and_leave_nothing(
    tmp_path: Path, data: bytes, cut: int
) -> None:
    coded, key, _ = sealed(tmp_path, data)
    raw = coded.read_bytes()
    short = raw[: -1 - cut % (len(raw) - 1)]
    coded.write_bytes(short)
    (tmp_path / "again").unlink(missing_ok=True)
    try:
        opened = dataset.decrypt(coded, tmp_path / "again", key)
    except Failed as error:
        assert (error.message, error.hint) == (dataset.refused().message, dataset.refused().hint)
        assert leftovers(tmp_path, "plain", "data.enc") == []
    else:  # by chance the last block left looks padded: then the user was told that nothing vouches for it
        assert len(short) % 16 == 0
        assert opened.warnings == (dataset.UNCHECKED_WARNING,)


def test_all_bad_paddings_are_the_same_error(tmp_path: Path) -> None:
    from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes

    key = dataset.new_key()
    errors = set()
    for last in [
        b"\x00" * 16,
        b"\x11" * 16,
        b"a" * 15 + b"\x02",
        b"\x10" * 15 + b"\x0f",
        bytes(range(16, 0, -1))[:15] + b"\x11",
    ]:
        iv = os.urandom(16)
        encryptor = Cipher(algorithms.AES(key), modes.CBC(iv)).encryptor()
        (tmp_path / "bad.enc").write_bytes(iv + encryptor.update(b"x" * 32 + last) + encryptor.finalize())
        with pytest.raises(Failed) as caught:
            dataset.decrypt(tmp_path / "bad.enc", tmp_path / "plain", key)
        errors.add((caught.value.message, caught.value.hint, caught.value.name))
    assert len(errors) == 1
    assert leftovers(tmp_path, "bad.enc") == []


def test_a_file_exchanged_between_check_and_decryption_is_noticed(tmp_path: Path) -> None:
    coded, key, record = sealed(tmp_path, b"a" * (3 * CHUNK))
    exchanged = []

    def exchange(done: int, total: int | None) -> None:
        if done >= record.size and not exchanged:
            exchanged.append(True)
            with coded.open("r+b") as file:
                file.seek(100)
                file.write(b"\x00" * 16)

    with pytest.raises(Failed) as caught:
        dataset.decrypt(coded, tmp_path / "again", key, record.checksum, exchange)
    assert caught.value.name == "checksum_mismatch"
    assert leftovers(tmp_path, "plain", "data.enc") == []


@pytest.mark.parametrize("work", ["encrypt", "decrypt"])
def test_cancelled_leaves_nothing(tmp_path: Path, work: str) -> None:
    coded, key, record = sealed(tmp_path, os.urandom(3 * CHUNK))
    before = coded.read_bytes()
    cancel = Cancel()
    source = tmp_path / ("plain" if work == "encrypt" else "data.enc")
    more = (record.checksum,) if work == "decrypt" else ()
    with pytest.raises(Cancelled):
        getattr(dataset, work)(source, tmp_path / "new", key, *more, lambda done, total: cancel.set(), cancel)
    assert leftovers(tmp_path, "plain", "data.enc") == []
    assert coded.read_bytes() == before


def test_killed_leaves_no_plaintext(tmp_path: Path) -> None:
    coded, key, record = sealed(tmp_path, b"secret" * (CHUNK // 2))
    program = textwrap.dedent(
        """
        import os, signal, sys
        from pathlib import Path
        from workflows.iexec import dataset
        source, target, key, checksum = sys.argv[1:]
        size = Path(source).stat().st_size
        def kill(done, total):
            if done > size + 2 * (1 << 20):
                os.kill(os.getpid(), signal.SIGKILL)
        dataset.decrypt(Path(source), Path(target), bytes.fromhex(key), checksum, kill)
        """
    )
    ended = subprocess.run(
        [sys.executable, "-c", program, coded, tmp_path / "again", key.hex(), record.checksum], check=False
    )
    assert ended.returncode == -signal.SIGKILL
    assert not (tmp_path / "again").exists()
    if sys.platform == "linux":
        assert leftovers(tmp_path, "plain", "data.enc") == []


def test_progress_ends_at_its_total(tmp_path: Path) -> None:
    coded, key, record = sealed(tmp_path, os.urandom(2 * CHUNK + 7))
    told: list[tuple[int, int | None]] = []
    dataset.encrypt(tmp_path / "plain", tmp_path / "b", key, lambda done, total: told.append((done, total)))
    assert told[-1] == (2 * CHUNK + 7, 2 * CHUNK + 7)
    told.clear()
    dataset.decrypt(coded, tmp_path / "again", key, record.checksum, lambda *step: told.append(step))
    assert told[-1] == (2 * record.size, 2 * record.size)
    assert told == sorted(told)


def test_modes_do_not_follow_the_umask(tmp_path: Path) -> None:
    before = os.umask(0)
    try:
        dataset.ensure_key(tmp_path / "keys" / "data.key")
        coded, _, _ = sealed(tmp_path, b"x")
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "keys").stat().st_mode) == 0o700
    assert stat.S_IMODE((tmp_path / "keys" / "data.key").stat().st_mode) == 0o600
    assert stat.S_IMODE(coded.stat().st_mode) == 0o600


def test_a_key_file_is_made_once_and_never_overwritten(tmp_path: Path) -> None:
    path = tmp_path / "data.key"
    key = dataset.ensure_key(path)
    text = path.read_text()
    assert len(text.strip()) == 44 and base64.b64decode(text) == key
    assert dataset.ensure_key(path) == key
    assert path.read_text() == text
    assert dataset.exposed(path) is None
    path.chmod(0o644)
    assert "chmod 600" in (dataset.exposed(path) or "")


@pytest.mark.parametrize(
    "content",
    [
        "",
        "\n",
        "no base64 at all!",
        base64.b64encode(b"x" * 31).decode(),
        base64.b64encode(b"x" * 33).decode(),
        base64.b64encode(b"\xff" * 32).decode().rstrip("="),
        "aa" * 32,
        "\x00" * 44,
        "A" * 42 + "B=",
    ],
)
def test_what_is_no_key_is_refused_without_being_shown_or_touched(tmp_path: Path, content: str) -> None:
    path = tmp_path / "data.key"
    path.write_text(content)
    for read in (dataset.read_key, dataset.ensure_key):
        with pytest.raises(Missing) as caught:
            read(path)
        assert caught.value.exit_code == 2
        if content.strip():
            assert content.strip() not in f"{caught.value} {caught.value.hint}"
    assert path.read_text() == content


def test_inputs_that_cannot_be_are_named(tmp_path: Path) -> None:
    key = dataset.new_key()
    (tmp_path / "file").write_bytes(b"x")
    os.mkfifo(tmp_path / "pipe")
    cases = {
        tmp_path / "absent": "no such file",
        tmp_path: "Pack it into one file",
        tmp_path / "pipe": "not a regular file",
    }
    for source, words in cases.items():
        with pytest.raises(Missing) as caught:
            dataset.encrypt(source, tmp_path / "out", key)
        assert words in f"{caught.value} {caught.value.hint}"
    with pytest.raises(Missing, match="is the input file"):
        dataset.encrypt(tmp_path / "file", tmp_path / "." / "file", key)
    with pytest.raises(Failed, match="no such file"):
        dataset.encrypt(tmp_path / "file", tmp_path / "nowhere" / "out", key)
    assert (tmp_path / "file").read_bytes() == b"x"


def test_a_full_disk_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"x" * 4096)
    import resource

    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100, hard))
    try:
        with pytest.raises(Failed, match="file too large"):
            dataset.encrypt(tmp_path / "file", tmp_path / "out", dataset.new_key())
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        signal.signal(signal.SIGXFSZ, signal.SIG_DFL)
    assert leftovers(tmp_path, "file") == []
