"""Keys of the SMS given by the environment: a localnet takes them, writes them nowhere and hands them to no child."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.conformance.sms.wire import Sms
from workflows.localnet import client
from workflows.localnet.toolchain import Toolchain

KEY, ADMIN, CAS_KEY = "5e" * 32, "an admin's key of the environment", "5f" * 32


def family(pid: int) -> list[int]:
    """A process and all that came of it."""
    children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    return [pid, *(one for child in children for one in family(int(child)))]


@pytest.mark.chain
def test_a_localnet_takes_its_keys_out_of_the_environment(
    tmp_path: Path, tools: Toolchain, monkeypatch: pytest.MonkeyPatch
) -> None:
    state, storage = tmp_path / "localnet", tmp_path / "storage"
    storage.mkdir(mode=0o755)
    monkeypatch.setenv("CREAMTEA_SMS_KEY", KEY)
    monkeypatch.setenv("CREAMTEA_SMS_ADMIN_KEY", ADMIN)
    monkeypatch.setenv("CREAMTEA_CAS_KEY", CAS_KEY)
    monkeypatch.setenv("CREAMTEA_SMS_STORAGE", str(storage))
    lease = client.join(state, lambda _: None)
    try:
        sms = Sms(str(lease.document["sms"]))
        assert sms.call("POST", "/admin/backup", headers={"X-API-KEY": "wrong"}).status == 401
        assert sms.call("POST", "/admin/backup", headers={"X-API-KEY": ADMIN}).status == 201
        assert [path.name for path in (storage / "work").iterdir()] == ["backup.sql"]
        assert storage.stat().st_mode & 0o777 == 0o755  # a folder of the user's keeps its mode
        pid = int(lease.document["pid"])
        others = [one for one in family(pid) if one != pid]
        assert others  # anvil
        for one in others:
            environment = Path(f"/proc/{one}/environ").read_bytes()
            assert b"PATH=" in environment
            assert not any(key.encode() in environment for key in (KEY, ADMIN, CAS_KEY))
        secret = [each for key in (KEY, CAS_KEY) for each in (key.encode(), bytes.fromhex(key))]
        for folder, _, names in os.walk(tmp_path):
            for path in (Path(folder, name) for name in names):
                content = path.read_bytes()
                assert not any(text in content for text in (*secret, ADMIN.encode())), path
    finally:
        lease.close()
        client.stop(state)
