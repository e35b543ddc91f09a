"""encrypt and decrypt with as few words as possible: what they take by default, and that nothing is written over."""

from __future__ import annotations

import io
import json
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
