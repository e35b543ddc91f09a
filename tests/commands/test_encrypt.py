"""encrypt and decrypt with as few words as possible: what they take by default, and that nothing is written over."""

from __future__ import annotations

import io
import json
import shlex
import subprocess
import tarfile
import zipfile
from pathlib import Path
from typing import Any

import pytest

from workflows import cli


@pytest.fixture
def say(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Any:
    monkeypatch.chdir(tmp_path)

    def run(*words: str) -> dict[str, Any]:
        code = cli.main([*words, "--json"])
        document: dict[str, Any] = json.loads(capsys.readouterr().out)
        return {"code": code, **document}

    return run


def test_a_file_there_and_back_without_a_flag(say: Any, tmp_path: Path) -> None:
    (tmp_path / "weather.csv").write_text("day,rain\n")
    made = say("encrypt", "weather.csv")
    assert (made["code"], made["output"], made["key_file"]) == (0, "weather.csv.enc", "weather.csv.key")
    assert (tmp_path / "weather.csv.key").stat().st_mode & 0o777 == 0o600
    opened = say("decrypt", "weather.csv.enc")
    assert (opened["code"], opened["output"]) == (0, "weather-2.csv")
    assert (tmp_path / "weather-2.csv").read_text() == "day,rain\n"


def test_the_second_time_nothing_is_written_over(say: Any, tmp_path: Path) -> None:
    (tmp_path / "weather.csv").write_text("day,rain\n")
    say("encrypt", "weather.csv")
    first, key = (tmp_path / "weather.csv.enc").read_bytes(), (tmp_path / "weather.csv.key").read_text()
    again = say("encrypt", "weather.csv")
    assert again["output"] == "weather.csv-2.enc" and again["key_made"] is False
    assert (tmp_path / "weather.csv.enc").read_bytes() == first
    assert (tmp_path / "weather.csv.key").read_text() == key
    assert say("encrypt", "weather.csv")["output"] == "weather.csv-3.enc"
    (tmp_path / "weather.csv").rename(tmp_path / "plain.csv")
    opened = say("decrypt", "weather.csv-3.enc")
    assert (opened["code"], opened["output"]) == (0, "weather.csv")
    assert (tmp_path / "weather.csv").read_text() == "day,rain\n"


def test_a_number_that_is_the_files_own_stays(say: Any, tmp_path: Path) -> None:
    for name in ("data", "data-2"):
        (tmp_path / name).write_text(name)
        say("encrypt", name)
        (tmp_path / name).unlink()
    assert say("decrypt", "data-2.enc")["output"] == "data-2"
    assert (tmp_path / "data-2").read_text() == "data-2"


def test_the_output_lies_beside_the_file(say: Any, tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "a").write_text("x")
    made = say("encrypt", str(tmp_path / "data" / "a"))
    assert made["output"] == str(tmp_path / "data" / "a.enc")
    (tmp_path / "data" / "a").unlink()
    assert say("decrypt", "data/a.enc")["output"] == "data/a"


def test_a_dataset_without_its_key_beside_it_asks_for_the_flag(say: Any, tmp_path: Path) -> None:
    (tmp_path / "a").write_text("x")
    say("encrypt", "a", "--key-file", "elsewhere")
    refused = say("decrypt", "a.enc")
    assert refused["code"] == 2 and "--key-file is needed" in refused["error"]["message"]
    assert not (tmp_path / "a-2").exists()


def test_an_archive_opens_into_a_folder_of_its_name(say: Any, tmp_path: Path) -> None:
    plain = io.BytesIO()
    with zipfile.ZipFile(plain, "w") as archive:
        archive.writestr("computed.json", '{"deterministic-output-path": "/iexec_out/a.txt"}')
        archive.writestr("a.txt", "hello")
    (tmp_path / "result.zip").write_bytes(plain.getvalue())
    opened = say("decrypt", "result.zip")
    assert opened["code"] == 0 and (tmp_path / opened["output"] / "a.txt").read_text() == "hello"
    assert opened["output"] == "result"
    assert say("decrypt", "result.zip")["output"] == "result-2"


def test_what_is_refused_leaves_no_key_behind(say: Any, tmp_path: Path) -> None:
    (tmp_path / "a").write_text("x")
    for words, said in (
        (("--output", "a", "--key-file", "k"), "a is the input file"),
        (
            ("--output", str(tmp_path / "nope" / "x"), "--key-file", "k"),
            f"there is no folder {tmp_path}/nope",
        ),
        (("--output", "k", "--key-file", "./k"), "k cannot be the key and the encrypted file"),
    ):
        refused = say("encrypt", "a", *words)
        assert refused["code"] == 2 and refused["error"]["message"] == said
        assert [path.name for path in tmp_path.iterdir()] == ["a"]


def test_a_named_output_is_not_written_over_either(say: Any, tmp_path: Path) -> None:
    (tmp_path / "a").write_text("x")
    assert say("encrypt", "a", "--output", "t.enc")["code"] == 0
    first = (tmp_path / "t.enc").read_bytes()
    refused = say("encrypt", "a", "--output", "t.enc")
    assert refused["code"] == 2 and refused["error"]["message"] == "t.enc is there already"
    assert "another --output" in refused["error"]["hint"]
    assert (tmp_path / "t.enc").read_bytes() == first


@pytest.mark.parametrize("word", [".", "../my data", "my data/inner"])
def test_a_folder_is_packed_by_the_command_of_the_hint(
    say: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, word: str
) -> None:
    home = tmp_path / "my data"
    (home / "inner").mkdir(parents=True)
    (home / "inner" / "a").write_text("x")
    monkeypatch.chdir(tmp_path if word.startswith("my") else home)
    hint = say("encrypt", word)["error"]["hint"]
    command = hint[hint.index("tar ") :]
    subprocess.run(shlex.split(command), check=True)
    with tarfile.open(next(tmp_path.rglob("*.tgz"))) as packed:
        assert packed.getnames()[-1].endswith("inner/a")


def test_a_result_without_its_key_names_the_keys_that_lie_there(say: Any, tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "T.zip", "w") as archive:
        archive.writestr("iexec_out.zip.aes", b"x" * 64)
        archive.writestr("aes-key.rsa", b"x" * 512)
    refused = say("decrypt", "T.zip")["error"]
    assert refused["message"].startswith("--key-file is needed: this result is encrypted")
    assert ".secrets/beneficiary" in refused["hint"]
    folder = tmp_path / ".secrets" / "beneficiary"
    folder.mkdir(parents=True)
    for name in ("0xaa_key", "0xaa_key.pub"):
        (folder / name).write_text("")
    assert say("decrypt", "T.zip")["error"]["hint"] == "found here: --key-file .secrets/beneficiary/0xaa_key"
