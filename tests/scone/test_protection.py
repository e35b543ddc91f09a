"""The fingerprint step, and its parts read back from an image."""

from __future__ import annotations

import pytest

from workflows.core.failure import Failed
from workflows.scone import protection
from workflows.scone.regions import Region

KEY, TAG, MR = "1" * 64, "2" * 32, "3" * 64
FILES = {
    "keytag": f"Encrypted file system protection file /fspf.pb AES-GCM tag: {TAG} key: {KEY}\n".encode(),
    "mrenclave": f"{MR}\n".encode(),
    "entrypoint": b"python3 /app/app.py\n",
    "heap": b"1G\n",
    "regions": b"not-protected /\nauthenticated /app\nencrypted /app/my data\n",
    "fingerprint": f"{KEY}|{TAG}|{MR}|python3 /app/app.py\n".encode(),
}


def test_the_parts_are_read():
    taken = protection.read(FILES)
    whole = taken.fingerprint
    assert (whole.fspf_key, whole.fspf_tag, whole.mrenclave, whole.heap) == (KEY, TAG, MR, 2**30)
    assert whole.entrypoint == "python3 /app/app.py"
    assert taken.regions == {"/": "not-protected", "/app": "authenticated", "/app/my data": "encrypted"}


def test_what_protect_fs_left_is_enough():
    assert protection.read({"fingerprint": FILES["fingerprint"]}).fingerprint.heap is None
    three = protection.read({"fingerprint": f"{KEY}|{TAG}|{MR}".encode(), "other": b"x"})
    assert three.fingerprint.entrypoint is None
    assert three.regions == {}


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"fingerprint": None}, "holds no fingerprint"),
        ({"fingerprint": b"{}"}, "missing|SCONE"),
        ({"fingerprint": b"\xff|\xff|\xff"}, "digits"),
        ({"keytag": FILES["keytag"].replace(b"1" * 64, b"4" * 64)}, "keytag"),
        ({"keytag": b"nonsense"}, "missing"),
        ({"mrenclave": b"5" * 64}, "mrenclave"),
        ({"mrenclave": b"Python 3.7"}, "missing"),
        ({"entrypoint": b"python3 /app/evil.py"}, "entrypoint"),
        ({"heap": b"lots"}, "not a size"),
        ({"regions": b"open /app"}, "regions"),
    ],
)
def test_what_does_not_agree_is_refused(change, said):
    files = {name: data for name, data in {**FILES, **change}.items() if data is not None}
    with pytest.raises(Failed, match=said) as caught:
        protection.read(files)
    assert caught.value.message


def test_regions_are_declared_before_files_are_added():
    text = protection.step(
        [Region("/app", "authenticated"), Region("/app/a b", "not-protected")], "python3 /app/app.py"
    )
    assert text.rindex("fspf addr") < text.index("fspf addf")
    assert "'/app/a b' --not-protected --kernel '/app/a b'" in text
    assert text.count("addf /fspf.pb") == 2


def test_the_open_root_says_why_it_is_open_and_what_is_not():
    sound = {
        "/": "not-protected",
        "/usr": "authenticated",
        "/app": "authenticated",
        "/app/notes": "not-protected",
    }
    told = {path: protection.told(path, kind, sound) for path, kind in sound.items()}
    assert (
        "as it has to be" in told["/"]
        and "/etc/hosts" in told["/"]
        and "your app in /app is protected" in told["/"]
    )
    assert {**told, "/": ""} == {**sound, "/": ""}
    bare = {"/": "not-protected", "/usr": "authenticated"}
    assert protection.told("/", "not-protected", bare) == "not-protected"
