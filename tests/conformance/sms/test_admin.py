"""Cases 61 to 63: who may use /admin, and what is out of service during a restore."""

from __future__ import annotations

import os
import sqlite3
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from tests.conformance.sms.wire import Answer, Sms

case = pytest.mark.case

KEY = "the suite's own key"
UNAUTHORISED = 401, "You are not authorized to access this endpoint."
MAINTENANCE = "The server is temporarily unable to serve your request due to maintenance downtime"


def admin(sms: Sms, key: str | None, path: str = "/backup") -> Answer:
    return sms.call("POST", "/admin" + path, headers={} if key is None else {"X-API-KEY": key})


@pytest.fixture
def key(localnet: dict[str, Any] | None) -> str:
    """What opens /admin: on our localnet it takes effect once it is there."""
    if localnet is not None:
        file = Path(localnet["state_dir"]) / "sms" / "admin.key"
        file.touch(0o600)
        file.write_text(KEY)
        return KEY
    file_name = os.environ.get("SMS_ADMIN_KEY_FILE")
    if not file_name:
        pytest.skip("needs the admin's key: SMS_ADMIN_KEY_FILE")
    return Path(file_name).read_text().strip()


@case(61)
def test_without_a_key_of_the_servers(sms: Sms, localnet: dict[str, Any] | None) -> None:
    if localnet is not None:
        (Path(localnet["state_dir"]) / "sms" / "admin.key").unlink(missing_ok=True)
    for presented in (None, "any"):
        said = admin(sms, presented)
        if said.status == 401:
            pytest.skip("this SMS has an admin key")
        assert (said.status, said.text) == (403, "This endpoint is disabled.")


@case(62)
def test_a_key_that_is_missing_or_wrong(sms: Sms, localnet: dict[str, Any] | None, request: Any) -> None:
    if localnet is not None:
        request.getfixturevalue("key")
    for presented in (None, "", "INCORRECT API KEY"):
        said = admin(sms, presented)
        if said.status == 403:
            pytest.skip("this SMS has no admin key")
        assert (said.status, said.text) == UNAUTHORISED


@case(62)
def test_the_right_key(sms: Sms, key: str) -> None:
    """It gets as far as the check of what is asked for, so that nothing of another's is touched."""
    assert admin(sms, key, "/2f6e6f7768657265/replicate-backup").status == 400
    assert admin(sms, key, "/2f6e6f7768657265/replicate-backup?fileName=x").status == 404


@case(63)
def test_maintenance(sms: Sms, localnet: dict[str, Any] | None, request: Any) -> None:
    """A restore is held up by another writer to the database."""
    if localnet is None:
        pytest.skip("maintenance cannot be brought about from outside without changing what the SMS holds")
    key = request.getfixturevalue("key")
    assert admin(sms, key).status == 201
    writer = sqlite3.connect(Path(localnet["state_dir"]) / "sms" / "sms.sqlite", isolation_level=None)
    writer.execute("BEGIN IMMEDIATE")
    with ThreadPoolExecutor(1) as pool:
        restore = pool.submit(admin, sms, key, f"/{b'work'.hex()}/restore-backup?fileName=backup.sql")
        try:
            while sms.call("GET", "/tee/framework").status != 503 and not restore.done():
                time.sleep(0.005)
            for path in ("/tee/framework", "/secrets/web2", "/apps/x/secrets", "/requesters/x/secrets/y"):
                said = sms.call("GET", path)
                assert (said.status, said.text) == (503, MAINTENANCE)
            assert sms.call("GET", "/version").status == 200
        finally:
            writer.execute("ROLLBACK")
            writer.close()
        assert restore.result().status == 200
    assert sms.call("GET", "/tee/framework").status == 200
