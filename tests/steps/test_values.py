"""What a step makes of files and of the manifest: datasets that move, secrets of odd sizes, names that lead away."""

from __future__ import annotations

import io
import os
import shutil
import stat
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.steps.driven import drive
from workflows.cli.person import Prompts, Unattended
from workflows.core.failure import Failed, Missing
from workflows.core.fields import Filled
from workflows.core.journal import Journal
from workflows.core.manifest import Manifest
from workflows.core.step import Context
from workflows.iexec import keys
from workflows.localnet.storage import Storage
from workflows.steps import project_files, signing
from workflows.steps.build import Build
from workflows.steps.dockerfile import Dockerfile
from workflows.steps.encrypt_dataset import EncryptDataset, key_file
from workflows.steps.push_secrets import PushSecrets, secret_names

Begin = Callable[[], Context]


def plain(folder: Path, **values: Any) -> Context:
    ctx = Context(folder, Journal(folder), Manifest(folder), workflow="onboard", run="r")
    ctx.values.update(values)
    return ctx


# Datasets: encrypted again, and registered again for money, only when the content changed


def encrypted(ctx: Context) -> dict[str, Any]:
    step = EncryptDataset()
    record: dict[str, Any] = drive(step._encrypt(ctx))
    return record


def test_a_dataset_that_was_touched_moved_or_copied_is_the_same(tmp_path: Path) -> None:
    first = tmp_path / "first"
    first.mkdir()
    (first / "data.csv").write_text("1,2,3\n")
    step = EncryptDataset()
    ctx = plain(first, dataset=str(first / "data.csv"))
    encrypted(ctx)
    before = step.inputs(ctx)["source"]
    assert before is not None
    os.utime(first / "data.csv", (1, 1))
    assert step.inputs(ctx)["source"] == before
    second = tmp_path / "second"
    shutil.copytree(first, second)
    shutil.rmtree(first)
    assert step.inputs(plain(second, dataset=str(second / "data.csv")))["source"] == before


def test_without_a_dataset_nothing_is_encrypted_even_by_force(tmp_path: Path) -> None:
    assert drive(EncryptDataset().run(plain(tmp_path, dataset=None)))["dataset"] is None


@pytest.mark.parametrize("name", ["n" * 255, "é" * 127, "n" * 255 + ".csv"], ids=["255", "multi-byte", "259"])
def test_what_is_made_of_a_long_name_has_one_that_fits(tmp_path: Path, name: str) -> None:
    ctx = plain(tmp_path, dataset=str(tmp_path / name))
    assert len(key_file(ctx).name.encode()) < 220
    assert key_file(ctx) != key_file(plain(tmp_path, dataset=str(tmp_path / f"{name}2")))


def test_a_dataset_of_the_same_size_with_other_content_is_another(tmp_path: Path) -> None:
    data = tmp_path / "data.csv"
    data.write_text("1,2,3\n")
    ctx = plain(tmp_path, dataset=str(data))
    encrypted(ctx)
    data.write_text("1,2,4\n")
    os.utime(data, (1, 1))
    assert EncryptDataset().inputs(ctx)["source"] is None


@pytest.mark.parametrize(
    "text", ["", "[]", "{}", '{"source": 5}', '{"source": {"size": 2, "mtime": 0}}', "\udcff"]
)
def test_a_damaged_record_is_no_record(tmp_path: Path, text: str) -> None:
    data = tmp_path / "data.csv"
    data.write_text("1\n")
    ctx = plain(tmp_path, dataset=str(data))
    encrypted(ctx)
    (ctx.state / "datasets" / "data.csv.json").write_text(text, errors="surrogateescape")
    assert EncryptDataset().inputs(ctx)["source"] is None


def test_a_wiped_storage_gets_the_dataset_again(tmp_path: Path) -> None:
    import asyncio

    from workflows.steps.encrypt_dataset import _kept

    async def body() -> None:
        storage = Storage(tmp_path / "storage")
        await storage.start()
        try:
            from workflows.iexec import storage as content

            path = tmp_path / "file"
            path.write_bytes(b"x" * 100)
            stored = await asyncio.to_thread(content.upload, storage.api.url, path)
            assert await asyncio.to_thread(_kept, storage.gateway.url, stored.multiaddr)
            other = stored.multiaddr[:-4] + "zzzz"
            assert not await asyncio.to_thread(_kept, storage.gateway.url, other)
        finally:
            await storage.stop()
        assert not await asyncio.to_thread(_kept, storage.gateway.url, stored.multiaddr)

    asyncio.run(body())


# Secrets


@pytest.mark.parametrize(
    ("content", "why"),
    [
        (b"", "nothing"),
        (b"\n\r\n", "nothing"),
        (b"x" * 4097, "more than 4096"),
        (("é" * 2049).encode(), "more than 4096"),
        (b"x" * (1 << 22), "more than 4096"),
        (b"\xff\xfe\x00", "not UTF-8"),
        (b"a\x00b", "a zero byte"),
    ],
    ids=["empty", "line ends", "4097", "multi-byte", "4 MiB", "binary", "zero byte"],
)
def test_a_secret_that_no_sms_takes_is_refused_before_anything_is_sent(
    tmp_path: Path, content: bytes, why: str
) -> None:
    (tmp_path / "secret").write_bytes(content)
    with pytest.raises(Missing, match=why) as caught:
        secret_names(plain(tmp_path, requester_secret=[f"1={tmp_path / 'secret'}"]))
    assert "\xff" not in str(caught.value)


def test_a_secret_of_the_largest_size_is_taken_whole_and_masked(tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("é" * 2048 + "\r\n")
    ctx = plain(tmp_path, requester_secret=[f"1={tmp_path / 'secret'}"])
    assert list(secret_names(ctx)) == [1]
    assert "é" * 2048 in ctx.secrets


def test_the_name_of_a_secret_follows_its_value_and_tells_nothing_of_it(tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("one")
    ctx = plain(tmp_path, requester_secret=[f"1={tmp_path / 'secret'}"])
    first = secret_names(ctx)[1]
    (tmp_path / "secret").write_text("two")
    assert secret_names(ctx)[1] != first
    (tmp_path / "secret").write_text("one")
    assert secret_names(ctx)[1] == first
    assert stat.S_IMODE((ctx.state / "keys" / "commitment.key").stat().st_mode) == 0o600


def test_what_the_manifest_names_as_secret_goes_into_no_image(tmp_path: Path) -> None:
    (tmp_path / "main.py").touch()
    for name in ("dev.pepper", "one.pepper", "notes.txt"):
        (tmp_path / name).write_text(name)
    before = project_files.look(plain(tmp_path))
    assert {"dev.pepper", "one.pepper"} <= {*before.files, *before.data}
    (tmp_path / "creamtea.toml").write_text(
        'app_secret_file = "dev.pepper"\nrequester_secret = ["1=one.pepper", "2=/elsewhere/two"]\n'
    )
    found = project_files.look(plain(tmp_path))
    assert not {"dev.pepper", "one.pepper"} & {*found.files, *found.data}
    assert {*before.files, *before.data} - {*found.files, *found.data} == {"dev.pepper", "one.pepper"}


@pytest.mark.parametrize(
    ("given", "kept"),
    [
        ([], []), (["", " "], []), (["1=a", "2=sub/b"], ["1=a", "2=sub/b"]), ("1=a", ["1=a"]),
        (["1={project}/a", "12={outside}/c"], ["1=a", "12={outside}/c"]), (["3=sub/../a"], ["3=sub/../a"]),
    ],
)  # fmt: skip
def test_numbered_files_are_kept_by_their_place_in_the_project(
    tmp_path: Path, given: Any, kept: list[str]
) -> None:
    project, outside = tmp_path / "project", tmp_path / "outside"
    for path in (project / "a", project / "sub" / "b", outside / "c"):
        path.parent.mkdir(exist_ok=True, parents=True)
        path.write_text("x")
    places = {"project": project, "outside": outside}
    [field] = [one for one in PushSecrets.fields if one.name == "requester_secret"]
    typed = [one.format(**places) for one in given] if isinstance(given, list) else given
    value = field.parse(typed, plain(project))
    assert all(Path(one.partition("=")[2]).is_absolute() for one in value)
    assert field.kept(value, plain(project)) == [one.format(**places) for one in kept]
    assert field.parse(field.kept(value, plain(project)), plain(project)) == value


@pytest.mark.parametrize("given", ["x", "0=a", "=a", "1=", "1=gone", "1", "-1=a", "²=a"])
def test_what_is_no_numbered_file_is_refused(tmp_path: Path, given: str) -> None:
    (tmp_path / "a").touch()
    [field] = [one for one in PushSecrets.fields if one.name == "requester_secret"]
    with pytest.raises(ValueError, match=r"is not N=FILE|there is no file"):
        field.parse([given], plain(tmp_path))


def test_at_a_prompt_enter_goes_on_without_a_remembered_file_that_is_gone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "creamtea.toml").write_text('app_secret_file = "gone.secret"\n')
    ctx, out = plain(tmp_path), io.StringIO()
    [field] = [one for one in PushSecrets.fields if one.name == "app_secret_file"]
    monkeypatch.setattr("sys.stdin", io.StringIO("wrong\n\n"))
    filled = Filled(field, "gone.secret", "manifest", "there is no file gone.secret")
    assert Prompts(ctx, out, yes=False).fill(PushSecrets(), [filled]) == {"app_secret_file": None}
    assert "✗ there is no file gone.secret" in out.getvalue() and "wrong" in out.getvalue()


@pytest.mark.parametrize(
    ("typed", "meant"),
    [
        ("wether.csv", "weather.csv"),
        ("Weather.CSV", "weather.csv"),
        ("sub/daat.txt", "data.txt"),
        ("zzz", ""),
    ],
)
def test_a_slip_in_a_files_name_gets_the_one_that_was_meant(tmp_path: Path, typed: str, meant: str) -> None:
    (tmp_path / "sub").mkdir()
    for name in ("weather.csv", "main.py", "sub/data.txt", "\x1b[31mwether.csv"):
        (tmp_path / name).touch()
    for name, value in (("dataset", typed), ("app_secret_file", typed), ("requester_secret", f"1={typed}")):
        [field] = [one for one in (*EncryptDataset.fields, *PushSecrets.fields) if one.name == name]
        with pytest.raises(ValueError, match="there is no file") as caught:
            field.parse(value, plain(tmp_path))
        told = str(caught.value)
        assert told.endswith(f"did you mean {meant}?" if meant else typed), told


@pytest.mark.parametrize("name", ["dataset", "app_secret_file", "requester_secret", "passphrase_file"])
def test_a_name_that_no_file_can_have_is_told_at_its_field(tmp_path: Path, name: str) -> None:
    [field] = [one for one in (*EncryptDataset.fields, *PushSecrets.fields) if one.name == name]
    with pytest.raises(ValueError, match="File name too long"):
        field.parse(f"{'1=' if field.numbered else ''}{'n' * 300}", plain(tmp_path))


def test_of_several_values_the_one_that_is_wrong_is_named(tmp_path: Path) -> None:
    (tmp_path / "weather.csv").touch()
    [field] = [one for one in PushSecrets.fields if one.name == "requester_secret"]
    with pytest.raises(ValueError, match=r"^2=wether.csv: there is no file .*did you mean weather.csv\?$"):
        field.parse(["1=weather.csv", "2=wether.csv"], plain(tmp_path))


def test_a_folder_is_no_file(tmp_path: Path) -> None:
    [field] = [one for one in EncryptDataset.fields if one.name == "dataset"]
    with pytest.raises(ValueError, match="is a folder, not a file"):
        field.parse(".", plain(tmp_path))


def test_data_in_the_project_is_offered_and_never_taken_by_itself(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("main.py", "weather.csv", "people.json"):
        (tmp_path / name).write_text("x" * 5000)
    ctx, out = plain(tmp_path, language="python"), io.StringIO()
    [field] = [one for one in EncryptDataset.fields if one.name == "dataset"]
    assert [choice.value for choice in field.choices(ctx)] == ["people.json", "weather.csv"]
    filled = Filled(field, None, "none")
    assert Unattended(yes=True).fill(EncryptDataset(), [filled]) == {"dataset": None}
    monkeypatch.setattr("sys.stdin", io.StringIO("\n"))
    assert Prompts(ctx, out, yes=False).fill(EncryptDataset(), [filled]) == {"dataset": None}
    assert "weather.csv  in the project" in out.getvalue()
    monkeypatch.setattr("sys.stdin", io.StringIO("weather.csv\n"))
    [taken] = Prompts(ctx, out, yes=False).fill(EncryptDataset(), [filled]).values()
    assert taken == str(tmp_path / "weather.csv")
    assert not EncryptDataset.fields[0].choices(plain(tmp_path / "nowhere"))


@pytest.mark.parametrize(
    ("typed", "kept"),
    [
        ("model=encrypted", "model=encrypted"), ("./model/=encrypted", "model=encrypted"),
        ("model//deep/.=encrypted", "model/deep=encrypted"), (" model = Encrypted ", "model=encrypted"),
        ("./=authenticated", ".=authenticated"), ("/opt//model/=authenticated", "/opt/model=authenticated"),
        ("//opt=authenticated", "/opt=authenticated"), ("///opt//=authenticated", "/opt=authenticated"),
        ("a=b=encrypted", "a=b=encrypted"),
    ],
)  # fmt: skip
def test_the_path_of_a_region_is_kept_in_its_normal_form(tmp_path: Path, typed: str, kept: str) -> None:
    [field] = [one for one in Dockerfile.fields if one.name == "region"]
    assert field.parse([typed], plain(tmp_path)) == [kept]


def test_a_slip_in_the_kind_of_a_region_gets_what_was_meant(tmp_path: Path) -> None:
    [field] = [one for one in Dockerfile.fields if one.name == "region"]
    with pytest.raises(ValueError, match="did you mean authenticated"):
        field.parse(["lib=authentic"], plain(tmp_path))


# Passphrases


def test_a_new_passphrase_is_given_twice(tmp_path: Path) -> None:
    work = signing.passphrase(plain(tmp_path), "a passphrase", new=True)
    next(work)
    work.send("first word")
    with pytest.raises(Failed, match="differ"):
        work.send("another word")


def test_a_passphrase_can_come_from_a_file_and_its_absence_names_a_flag_that_exists(tmp_path: Path) -> None:
    (tmp_path / "word").write_text("of passage\n")
    ctx = plain(tmp_path, passphrase_file=str(tmp_path / "word"))
    assert drive(signing.passphrase(ctx, "a passphrase")) == "of passage"
    assert "of passage" in ctx.secrets
    asked = next(signing.passphrase(plain(tmp_path), "a passphrase"))
    with pytest.raises(Missing) as caught:
        Unattended(yes=True).answer(asked)  # type: ignore[arg-type]
    assert "--passphrase-file" in caught.value.hint


@pytest.mark.parametrize("passphrase", [None, "of passage"])
def test_a_kill_between_the_halves_of_a_key_pair_is_mended(tmp_path: Path, passphrase: str | None) -> None:
    address = "0x70997970C51812dc3A010C7d01b50e0d17dc79C8"
    pair = keys.create(tmp_path, address, passphrase)
    public = pair.public.read_bytes()
    pair.public.unlink()
    assert keys.create(tmp_path, address, passphrase).public.read_bytes() == public


# The Dockerfile that the manifest names


@pytest.mark.parametrize("named", ["../Dockerfile", "/etc/cron.d/evil", ".", "a/../../x"])
def test_a_manifest_from_elsewhere_names_no_file_outside_the_project(tmp_path: Path, named: str) -> None:
    project = tmp_path / "project"
    project.mkdir()
    (project / "creamtea.toml").write_text(f'dockerfile = "{named}"\n')
    with pytest.raises(Missing, match="as the Dockerfile"):
        Dockerfile().command(plain(project))


def test_a_dockerfile_that_is_no_text_is_named(tmp_path: Path) -> None:
    (tmp_path / "Dockerfile").write_bytes(b"FROM x\n# caf\xe9\n")
    ctx = plain(tmp_path, image="x:1")
    ctx.outputs.update(
        dockerfile={"path": str(tmp_path / "Dockerfile")},
        base_image={"reference": "x", "used": "x", "stand_in": None},
    )
    with pytest.raises(Missing, match="UTF-8"):
        Build().inputs(ctx)
    (tmp_path / "Dockerfile").unlink()
    (tmp_path / "app.py").write_text("")
    with pytest.raises(Missing) as caught:
        Build().inputs(ctx)
    assert "--from dockerfile" in caught.value.hint


def test_no_copy_line_brings_a_guessed_secret_that_is_named_as_one(tmp_path: Path) -> None:
    from workflows.scone import dockerfile

    for name in ("main.py", "token.txt", "api_key", "secrets/one", "secrets/two"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(name)
    named = 'app_secret_file = "token.txt"\nrequester_secret = ["1=secrets/one"]\n'
    (tmp_path / "creamtea.toml").write_text(named)
    text = "FROM x\nCOPY token.txt api_key secrets /app/\n"
    out = dockerfile.excludes(text, project_files.look(plain(tmp_path)))
    assert {"token.txt", "secrets/one"} <= set(out)
    assert not {"api_key", "secrets"} & set(out), "these are but guessed"
