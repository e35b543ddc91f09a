"""Secrets as the official client pushes and checks them; the messages are those that it prints.

Most go through the library, which the command line calls; the commands themselves are in the tests of whole jobs.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.classroom import Person
from tests.peer.sdk import LOCK, Library, Refused, Sdk
from tests.peer.world import dataset, new_app
from workflows.core.files import write_atomic
from workflows.iexec.poco import Poco
from workflows.localnet.genesis import account

TAKEN = "Secret already exists for {} and can't be updated"
NOT_YOURS = "Wallet {} is not allowed to set secret for {}"
TOO_LARGE = "SMS answered with unexpected status: {}"


@pytest.fixture
def stranger() -> Any:
    """Somebody who owns nothing here."""
    return account("spare-2")


def test_the_lock_names_every_file_by_hash_and_no_registry() -> None:
    lock = json.loads(LOCK.read_text())
    packages = {path: entry for path, entry in lock["packages"].items() if path}
    assert packages["node_modules/iexec"]["version"] == "8.24.0"
    for entry in packages.values():
        assert entry["integrity"].startswith("sha512-")
        assert "resolved" not in entry and "hasInstallScript" not in entry
    assert "http" not in LOCK.read_text()


def test_the_developers_secret_of_an_app(
    library: Library, chain: Poco, developer: Any, stranger: Any
) -> None:
    mine = new_app(chain, "of a secret")
    assert library.call(stranger, "app.checkAppSecretExists", mine) is False
    with pytest.raises(Refused) as refused:
        library.call(stranger, "app.pushAppSecret", mine, "not mine to set")
    assert str(refused.value) == NOT_YOURS.format(stranger.address, mine)
    with pytest.raises(Refused, match=TOO_LARGE.format(413)):
        library.call(developer, "app.pushAppSecret", mine, "€" * 1366)  # 4098 bytes in 1366 characters
    assert library.call(developer, "app.checkAppSecretExists", mine) is False
    assert library.call(developer, "app.pushAppSecret", mine, "€" * 1365) is True
    assert library.call(stranger, "app.checkAppSecretExists", mine.lower()) is True
    with pytest.raises(Refused) as again:
        library.call(developer, "app.pushAppSecret", mine, "another")
    assert str(again.value) == TAKEN.format(mine)


def test_the_key_of_a_dataset(library: Library, chain: Poco, developer: Any, stranger: Any) -> None:
    mine = dataset(chain, "of a secret")
    assert library.call(stranger, "dataset.checkDatasetSecretExists", mine) is False
    with pytest.raises(Refused) as refused:
        library.call(stranger, "dataset.pushDatasetSecret", mine, "bm90IG1pbmU=")
    assert str(refused.value) == NOT_YOURS.format(stranger.address, mine)
    with pytest.raises(Refused, match=TOO_LARGE.format(413)):
        library.call(developer, "dataset.pushDatasetSecret", mine, "A" * 4097)
    assert library.call(developer, "dataset.pushDatasetSecret", mine, "A" * 4096) is True
    assert library.call(stranger, "dataset.checkDatasetSecretExists", mine) is True
    with pytest.raises(Refused) as again:
        library.call(developer, "dataset.pushDatasetSecret", mine, "A" * 44)
    assert str(again.value) == TAKEN.format(mine)


def test_who_owns_the_app_now_decides(library: Library, chain: Poco, developer: Any, stranger: Any) -> None:
    given = new_app(chain, "given away")
    library.call(developer, "app.transferApp", given, stranger.address)
    with pytest.raises(Refused) as refused:
        library.call(developer, "app.pushAppSecret", given, "too late")
    assert str(refused.value) == NOT_YOURS.format(developer.address, given)
    assert library.call(stranger, "app.pushAppSecret", given, "mine now") is True


def test_a_requesters_secrets(library: Library, stranger: Any, customer: Any) -> None:
    def push(name: str, value: str = "worth keeping") -> Any:
        return library.call(stranger, "secrets.pushRequesterSecret", name, value)

    def there(who: Any, name: str) -> Any:
        return library.call(who, "secrets.checkRequesterSecretExists", stranger.address, name)

    assert there(customer, "Plan") is False
    assert push("Plan") == {"isPushed": True}
    assert there(customer, "Plan") is True
    assert there(customer, "plan") is False, "names differ by case"
    assert push("plan") == {"isPushed": True}
    with pytest.raises(Refused) as again:
        push("Plan", "another")
    assert str(again.value) == f'Secret "Plan" already exists for {stranger.address}'
    for bad in ("a b", "a.b", "é", "n" * 65):
        with pytest.raises(Refused, match=TOO_LARGE.format(400)):
            push(bad)
    assert push("n" * 64) == {"isPushed": True}
    with pytest.raises(Refused, match=TOO_LARGE.format(400)):  # where the others say 413
        push("large", "x" * 4097)
    assert there(stranger, "large") is False
    assert push("large", "😀" * 1024) == {"isPushed": True}


def test_a_name_that_leaves_its_path_is_stored_under_no_other_name(
    library: Library, stranger: Any, customer: Any
) -> None:
    """The client does not encode names: `../../x` really asks for /requesters/x, which no SMS has."""
    with pytest.raises(Refused, match=TOO_LARGE.format(404)):
        library.call(stranger, "secrets.pushRequesterSecret", "../../x", "lost")
    assert library.call(customer, "secrets.checkRequesterSecretExists", stranger.address, "x") is False


def test_the_key_that_encrypts_results(library: Library, stranger: Any) -> None:
    name = "result.pushResultEncryptionKey"
    there = ("result.checkResultEncryptionKeyExists", stranger.address)
    assert library.call(stranger, *there) is False
    assert library.call(stranger, name, "-----BEGIN PUBLIC KEY-----\nAA==\n-----END PUBLIC KEY-----") == {
        "isPushed": True, "isUpdated": False,
    }  # fmt: skip
    assert library.call(stranger, *there) is True
    with pytest.raises(Refused) as again:
        library.call(stranger, name, "-----BEGIN PUBLIC KEY-----\nBB==\n-----END PUBLIC KEY-----")
    assert (
        str(again.value)
        == f'Secret "iexec-result-encryption-public-key" already exists for {stranger.address}'
    )
    assert library.call(stranger, name, "another", {"forceUpdate": True}) == {
        "isPushed": True, "isUpdated": True,
    }  # fmt: skip


def test_storage_tokens(library: Library, stranger: Any) -> None:
    def there(provider: str) -> Any:
        return library.call(
            stranger, "storage.checkStorageTokenExists", stranger.address, {"provider": provider}
        )

    assert there("default") is False and there("dropbox") is False
    token = library.call(stranger, "storage.defaultStorageLogin")
    assert token.count(".") == 2
    assert library.call(stranger, "storage.pushStorageToken", token)["isPushed"] is True
    assert there("default") is True and there("dropbox") is False
    with pytest.raises(Refused) as again:
        library.call(stranger, "storage.pushStorageToken", token)
    assert str(again.value) == f'Secret "iexec-result-iexec-ipfs-token" already exists for {stranger.address}'
    updated = library.call(stranger, "storage.pushStorageToken", token, {"forceUpdate": True})
    assert updated == {"isPushed": True, "isUpdated": True}
    dropbox = {"provider": "dropbox"}
    assert library.call(stranger, "storage.pushStorageToken", "a token", dropbox)["isPushed"] is True
    assert there("dropbox") is True


def test_a_whitespace_secret_is_taken_like_any_other(library: Library, stranger: Any) -> None:
    """The service keeps it as nothing; whoever pushes it is not told (sms §10.3)."""
    assert library.call(stranger, "secrets.pushRequesterSecret", "blank", " \t ") == {"isPushed": True}
    assert library.call(stranger, "secrets.checkRequesterSecretExists", stranger.address, "blank") is True


def test_the_commands_say_what_happened(
    sdk: Sdk, folder: Path, chain: Poco, developer: Person, customer: Person
) -> None:
    mine = new_app(chain, "of the commands")
    secret = ("--secret-value", "s3cret")
    assert f"No secret found for app {mine}" in sdk.told(folder, "app", "check-secret", mine)
    said = sdk.told(folder, "app", "push-secret", mine, *secret, *customer.keys, code=1)
    assert (
        f'Command "iexec app push-secret" failed with Error: {NOT_YOURS.format(customer.address, mine)}'
        in said
    )
    assert "Secret successfully pushed" in sdk.told(
        folder, "app", "push-secret", mine, *secret, *developer.keys
    )
    assert f"Secret found for app {mine}" in sdk.told(folder, "app", "check-secret", mine)
    said = sdk.told(folder, "app", "push-secret", mine, *secret, *developer.keys, code=1)
    assert TAKEN.format(mine) in said
    assert "s3cret" not in said


def test_an_sms_that_is_not_there_is_told(sdk: Sdk, folder: Path, developer: Person, tmp_path: Path) -> None:
    document = json.loads((folder / "chain.json").read_text())
    document["chains"]["localnet"]["sms"] = {"scone": "http://127.0.0.1:1"}
    write_atomic(tmp_path / "chain.json", json.dumps(document))
    said = sdk.told(tmp_path, "requester", "check-secret", "any", *developer.keys, code=1)
    assert "SMS error: Connection to http://127.0.0.1:1 failed with a network error" in said
