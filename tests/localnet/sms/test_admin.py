"""The /admin endpoints over HTTP: who may use them, backups that restore, and what a restore closes meanwhile."""

from __future__ import annotations

import asyncio
import json
import sqlite3
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from tests.localnet.sms.sms_world import APP, POOL, REQUESTER, Client, Run, challenged, ledger, serve
from workflows.core.failure import Failed, Missing
from workflows.localnet.sms.store import Store
from workflows.localnet.vault import taken_key

KEY = "an admin's key"
HEAD = f"/secrets/web2?ownerAddress={REQUESTER.address}&secretName="
MAINTENANCE = "The server is temporarily unable to serve your request due to maintenance downtime"


def hexed(folder: str | Path) -> str:
    return str(folder).encode().hex()


async def admin(sms: Client, method: str, path: str, key: str | None = KEY) -> tuple[int, str]:
    headers = {"X-API-KEY": key} if key is not None else {}
    async with sms.http.request(method, f"{sms.url}/admin{path}", headers=headers) as answer:
        return answer.status, await answer.text()


@pytest.fixture
def state(tmp_path: Path) -> Path:
    """The folder of an SMS with an admin's key in its file."""
    folder = tmp_path / "sms"
    folder.mkdir()
    key = folder / "admin.key"
    key.write_text(KEY + "\n")
    key.chmod(0o600)
    return folder


def on(state: Path, body: Callable[[Client], Awaitable[None]], **more: Any) -> None:
    asyncio.run(serve(state, ledger(), body, **more))


def test_without_a_key_every_path_is_closed_and_a_wrong_one_opens_none(state: Path) -> None:
    paths = [
        ("POST", "/backup"),
        ("GET", "/backup"),
        ("DELETE", "/ff/delete-backup"),
        ("GET", ""),
        ("GET", "/x/y"),
    ]

    async def body(sms: Client) -> None:
        file = state / "admin.key"
        for method, path in paths:
            for key in (None, "", "wrong", KEY + "x", "k\u00e9y"):
                expected = (401, "You are not authorized to access this endpoint.")
                assert await admin(sms, method, path, key) == expected
        for change in (lambda: file.chmod(0o640), lambda: file.write_text(" \n"), file.unlink):
            change()
            for method, path in paths:
                assert await admin(sms, method, path) == (403, "This endpoint is disabled.")
            if file.exists():
                file.chmod(0o600)

    on(state, body)


def test_a_key_given_at_the_start_is_the_one(state: Path) -> None:
    async def body(sms: Client) -> None:
        assert (await admin(sms, "POST", "/backup"))[0] == 401
        assert await admin(sms, "POST", "/backup", "other") == (201, "")
        assert (await admin(sms, "GET", "/backup", "other"))[0] == 405
        assert (await admin(sms, "GET", "/unknown", "other"))[0] == 404

    on(state, body, admin_key="other")


def test_a_restore_brings_back_what_was_and_takes_what_came_after(state: Path) -> None:
    seen: list[str] = []

    async def body(sms: Client) -> None:
        assert await sms.web2("old", "old value") == 204
        assert (await sms.app("app canary-1"))[0] == 204
        seen.append((await challenged(sms))[1])
        assert await admin(sms, "POST", "/backup") == (201, "")
        assert await sms.web2("old", "new value", method="PUT") == 204
        assert await sms.web2("new", "value") == 204
        for _ in range(2):  # a backup may be restored as often as one likes
            assert await admin(sms, "POST", f"/{hexed('work')}/restore-backup?fileName=backup.sql") == (
                200,
                "",
            )
            assert await sms.status("HEAD", HEAD + "old") == 204
            assert await sms.status("HEAD", HEAD + "new") == 404
            assert await sms.status("HEAD", f"/apps/{APP}/secrets") == 204
            assert (await challenged(sms))[1] == seen[0]

    on(state, body)
    store = Store(state)
    assert store.get("web2", REQUESTER.address, "old") == "old value"
    store.close()
    for path in state.rglob("*"):
        assert path.stat().st_mode & 0o077 == 0
        assert path.is_dir() or path.name == "admin.key" or b"canary" not in path.read_bytes()


def test_backups_are_copied_by_folder_and_name_and_removed(state: Path) -> None:
    daily = state / "backup" / "daily"

    async def body(sms: Client) -> None:
        assert (await admin(sms, "POST", f"/{hexed('work')}/replicate-backup?fileName=x"))[0] == 404
        assert (await admin(sms, "POST", "/backup"))[0] == 201
        daily.mkdir()
        # a folder is named from the storage on, or by its whole path as with the real service
        assert await admin(sms, "POST", f"/{hexed(daily)}/replicate-backup?fileName=monday") == (200, "")
        path = f"/{hexed('daily')}/copy-to/{hexed('work')}?sourceFileName=monday"
        assert await admin(sms, "POST", path) == (200, "")
        assert await admin(sms, "POST", path) == (500, "")  # nothing is written over
        assert await admin(sms, "POST", path + "&destinationFileName=again") == (200, "")
        names = {file.name for file in (state / "backup" / "work").iterdir()}
        assert names == {name + end for name in ("backup.sql", "monday", "again") for end in ("", ".key")}
        delete = f"/{hexed('daily')}/delete-backup?fileName=monday"
        assert await admin(sms, "DELETE", delete) == (200, "")
        assert await admin(sms, "DELETE", delete) == (404, "")
        assert list(daily.iterdir()) == []
        assert (await admin(sms, "POST", f"/{hexed('work')}/restore-backup?fileName=again"))[0] == 200

    on(state, body)


def test_what_is_no_storage_or_no_name_is_400_and_nothing_outside_exists(state: Path, tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "precious").write_text("precious")

    async def body(sms: Client) -> None:
        assert (await admin(sms, "POST", "/backup"))[0] == 201
        (state / "backup" / "link").symlink_to(outside)
        (state / "backup" / "work" / "link").symlink_to(outside / "precious")
        name = "fileName=precious"
        for bad in ("zz", "f", "abc", hexed("\0"), hexed(" "), "ff", "%20"):
            status, text = await admin(sms, "DELETE", f"/{bad}/delete-backup?{name}")
            assert (status, json.loads(text)["message"]) == (
                400,
                "A storage id is the hex of a folder's path.",
            )
        for bad in ("", "fileName=", "fileName=%20", "fileName=..", "fileName=../outside/precious", "fileName=a%2Fb",
                    "fileName=backup.sql.key", "fileName=%00", "fileName=" + "x" * 200, "other=x"):  # fmt: skip
            for method, action in (("POST", "replicate"), ("POST", "restore"), ("DELETE", "delete")):
                assert (await admin(sms, method, f"/{hexed('work')}/{action}-backup?{bad}"))[0] == 400, bad
        for folder in ("absent", "../../outside", str(outside), "link", "work/../../../outside"):
            for method, action in (("POST", "replicate"), ("POST", "restore"), ("DELETE", "delete")):
                assert (await admin(sms, method, f"/{hexed(folder)}/{action}-backup?{name}"))[0] == 404, (
                    folder
                )
            for path in (
                f"/{hexed(folder)}/copy-to/{hexed('work')}",
                f"/{hexed('work')}/copy-to/{hexed(folder)}",
            ):
                assert (await admin(sms, "POST", f"{path}?sourceFileName=backup.sql"))[0] == 404
        assert (await admin(sms, "POST", f"/{hexed('work')}/restore-backup?fileName=link"))[0] == 404
        assert (outside / "precious").read_text() == "precious"
        assert len(list(outside.iterdir())) == 1

    on(state, body)


def test_what_is_no_backup_or_opens_with_another_key_changes_nothing(state: Path, tmp_path: Path) -> None:
    other = Store(tmp_path / "other")
    other.add("web2", REQUESTER.address, "other", "value")
    other.close()
    work = state / "backup" / "work"

    async def body(sms: Client) -> None:
        assert await sms.web2("mine", "value") == 204
        assert (await admin(sms, "POST", "/backup"))[0] == 201
        own = (work / "backup.sql.key").read_bytes()
        foreign = (tmp_path / "other" / "sms.sqlite").read_bytes()
        for content, key in ((b"", own), (b"no database", own), (foreign, own), (foreign, b"short")):
            for name, data in (("bad", content), ("bad.key", key)):
                (work / name).write_bytes(data)
                (work / name).chmod(0o600)
            path = f"/{hexed('work')}/restore-backup?fileName=bad"
            assert await admin(sms, "POST", path) == (500, "")
            assert await sms.status("HEAD", HEAD + "mine") == 204
            assert await sms.status("HEAD", HEAD + "other") == 404
        (work / "bad.key").unlink()
        assert (await admin(sms, "POST", path))[0] == 404
        (work / "bad.key").write_bytes((tmp_path / "other" / "sms.key").read_bytes())
        (work / "bad.key").chmod(0o600)
        assert (await admin(sms, "POST", path))[0] == 200  # the backup of another SMS with its key
        assert await sms.status("HEAD", HEAD + "other") == 204

    on(state, body)


def test_a_restore_closes_secrets_and_a_second_operation_is_429(state: Path) -> None:
    """The restore is held up by another process that writes to the database."""

    async def body(sms: Client) -> None:
        assert (await admin(sms, "POST", "/backup"))[0] == 201
        writer = sqlite3.connect(state / "sms.sqlite", isolation_level=None)
        writer.execute("BEGIN IMMEDIATE")
        restore = asyncio.create_task(
            admin(sms, "POST", f"/{hexed('work')}/restore-backup?fileName=backup.sql")
        )
        try:
            while (await sms.status("HEAD", HEAD + "x")) != 503:
                assert not restore.done()
                await asyncio.sleep(0.005)
            for path in ("/tee/framework", "/secrets/web3", "/apps/x", "/requesters", "/tee"):
                assert await sms.call("GET", path) == (503, MAINTENANCE)
            for path in ("/version", "/actuator/health", "/v3/api-docs"):
                assert await sms.status("GET", path) == 200
            assert await admin(sms, "POST", "/backup") == (429, "")
            assert (await admin(sms, "POST", "/backup", None))[0] == 401
        finally:
            writer.execute("ROLLBACK")
            writer.close()
        assert await restore == (200, "")
        assert await sms.status("GET", "/tee/framework") == 200

    on(state, body)


def test_a_key_of_the_environment_is_written_nowhere(state: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CREAMTEA_SMS_KEY", "ab" * 32)
    key = taken_key("CREAMTEA_SMS_KEY")
    assert key == b"\xab" * 32
    assert taken_key("CREAMTEA_SMS_KEY") is None  # no child inherits it

    async def body(sms: Client) -> None:
        assert await sms.web2("a", "value") == 204
        assert (await admin(sms, "POST", "/backup"))[0] == 201
        assert (await admin(sms, "POST", f"/{hexed('work')}/restore-backup?fileName=backup.sql"))[0] == 200
        assert await sms.status("HEAD", HEAD + "a") == 204

    on(state, body, key=key)
    assert {path.name for path in state.rglob("*.key")} == {"admin.key"}
    for other in (None, b"\xcd" * 32):
        with pytest.raises(Failed) as caught:
            Store(state, other)
        assert caught.value.name == "vault_key_mismatch"
    for text in ("ab" * 31, "nonsense"):
        monkeypatch.setenv("CREAMTEA_SMS_KEY", text)
        with pytest.raises(Missing, match="64 hex digits") as caught:
            taken_key("CREAMTEA_SMS_KEY")
        assert text not in str(caught.value)


def test_metrics_count_what_is_there_and_what_came(on_sms: Run) -> None:
    def counted(text: str) -> dict[str, tuple[int, int, int]]:
        found = json.loads(text)["secretsMetrics"]
        assert all(
            one["secretsType"] == name and one["cachedSecretsCount"] == 0 for name, one in found.items()
        )
        names = ("initialCount", "storedCount", "addedSinceStartCount")
        return {name: tuple(one[part] for part in names) for name, one in found.items()}

    async def first(sms: Client) -> None:
        assert await sms.web3("key") == 204
        assert await sms.web2("a", "x") == 204
        assert await sms.web2("a", "x") == 409
        assert await sms.web2("a", "y", method="PUT") == 204
        assert (await sms.app("x"))[0] == 204
        assert (await sms.requester("k", "x"))[0] == 204
        assert (await challenged(sms))[0] == 200
        assert (await challenged(sms, POOL))[0] == 200
        status, text = await sms.call("GET", "/metrics")
        assert (status, counted(text)) == (
            200,
            {"web2": (0, 1, 1), "web3": (0, 1, 1), "compute": (0, 2, 2), "TEE challenges": (0, 1, 1),
             "Ethereum Credentials": (0, 1, 1)},
        )  # fmt: skip

    async def second(sms: Client) -> None:
        assert counted((await sms.call("GET", "/metrics"))[1])["compute"] == (2, 2, 0)

    on_sms(first)
    on_sms(second)


def test_the_documented_surface_is_the_one_that_is_served(on_sms: Run) -> None:
    async def body(sms: Client) -> None:
        status, text = await sms.call("GET", "/v3/api-docs")
        docs = json.loads(text)
        assert (status, docs["openapi"], docs["info"]["title"]) == (200, "3.1.0", "iExec SMS")
        served = {(method, path) for path, methods in docs["paths"].items() for method in methods}
        assert served >= {
            ("head", "/secrets/web3"), ("post", "/secrets/web3"), ("head", "/secrets/web2"), ("post", "/secrets/web2"),
            ("put", "/secrets/web2"), ("post", "/tee/sessions"), ("post", "/tee/challenges/{task}"),
            ("delete", "/admin/{storage}/delete-backup"), ("get", "/metrics"), ("get", "/version"),
        }  # fmt: skip
        assert all(
            operation["summary"] for methods in docs["paths"].values() for operation in methods.values()
        )
        status, version = await sms.call("GET", "/version")
        assert (status, docs["info"]["version"]) == (200, version)
        assert version.endswith("SIMULATED")
        assert await sms.call("GET", "/actuator/health") == (200, '{"status":"UP"}')
        for path in ("/", "/secrets", "/actuator", "/swagger"):
            assert await sms.status("GET", path) == 404

    on_sms(body)
