"""What SCONE printed and somebody kept, through `creamtea measure` and `creamtea diff`."""

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.scone.printed import BLOCKS, ENCRYPTED, HASH, KEY, TAG, V2018, V2022, V2023
from workflows.cli import main
from workflows.core.failure import Failed
from workflows.scone import transcript

OTHER = HASH[::-1]
SIGNED = f"MRENCLAVE: {HASH}\nISV Product ID: 3\nISV SVN: 4\nDebug: yes\n"


def measured(path: Path, text: str, capsys) -> dict:
    path.write_text(text)
    assert main(["measure", str(path), "--json"]) == 0
    return json.loads(capsys.readouterr().out)


def test_a_log_of_a_build_and_a_run(tmp_path, capsys):
    log = f"Step 1/9\n{ENCRYPTED}\n{BLOCKS['2020-11']}\n{V2022}\n"
    document = measured(tmp_path / "build.log", log, capsys)
    assert (document["kind"], document["mrenclave"], document["heap"]) == ("printout", HASH, 2**26)
    printed = document["printout"]
    assert (printed["fspf_key"], printed["fspf_tag"]) == (KEY, TAG)
    assert (printed["entrypoint"], printed["mode"], printed["scone"]) == (
        "python /app/app.py",
        "sim",
        "5.7.0",
    )
    assert printed["settings"]["SCONE_FORK"] == "no"
    said = " ".join(document["warnings"])
    assert "nothing was computed here" in said
    assert "outside of an enclave" in said
    assert main(["measure", str(tmp_path / "build.log")]) == 0
    assert KEY in capsys.readouterr().out


def test_a_hash_alone_and_a_signer(tmp_path, capsys):
    assert measured(tmp_path / "hash", HASH + "\n", capsys)["mrenclave"] == HASH
    document = measured(tmp_path / "info", SIGNED, capsys)
    assert document["printout"]["isvprodid"] == "3"
    assert document["printout"]["debug"] is True


def test_what_runs_later_does_not_count(tmp_path, capsys):
    document = measured(tmp_path / "log", f"{V2023}{OTHER}\n{V2018.replace(HASH, OTHER)}", capsys)
    assert document["mrenclave"] == HASH
    assert any("1 more lines with an enclave hash" in text for text in document["warnings"])


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (f"{HASH}\n{OTHER}\n", "2 times"),
        (f"{V2022}{BLOCKS['2019'].replace(HASH, OTHER)}", "2 different enclave hashes"),
        (f"{BLOCKS['2019']}{ENCRYPTED.replace(TAG, TAG[::-1])}\n", "not those that scone fspf printed"),
        (f"api_1 | SCONE_HEAP=1\nlas_1 | SCONE_HEAP=2\napi_1 | Enclave hash: {HASH}\n", "twice"),
        (V2022.replace(HASH, HASH[:40]), "64 hex digits"),
        ("hello\n", "no signed enclave"),
    ],
)
def test_contradictions_are_refused(tmp_path, capsys, text, said):
    (tmp_path / "log").write_text(text)
    assert main(["measure", str(tmp_path / "log")]) == 1
    assert said in capsys.readouterr().err


def test_two_printouts_compared(tmp_path, capsys):
    (tmp_path / "a").write_text(V2018)
    (tmp_path / "b").write_text(V2018.replace("2147483648", "1073741824").replace(HASH, OTHER))
    assert main(["diff", str(tmp_path / "a"), str(tmp_path / "b"), "--json"]) == 1
    document = json.loads(capsys.readouterr().out)
    assert document["causes"][0]["sentence"] == "heap 2 GiB → 1 GiB"
    assert document["parts"]["mrenclave"] == "changed"
    (tmp_path / "b").write_text("nothing of it\n")
    assert main(["diff", str(tmp_path / "a"), str(tmp_path / "b")]) == 1
    assert "no signed enclave" in capsys.readouterr().err


lines = st.sampled_from(
    [
        *V2018.split("\n"),
        *V2023.split("\n"),
        *BLOCKS["2020-11"].split("\n"),
        *SIGNED.split("\n"),
        ENCRYPTED,
        OTHER,
    ]
)


@given(st.lists(lines | st.text(max_size=40)))
def test_any_text_is_read_or_refused(some):
    try:
        found = transcript.parse("\n".join(some), "log")
    except Failed as failure:
        assert failure.message
        assert "\n" not in failure.message
        return
    assert found is None or found.fingerprint.mrenclave in (HASH, OTHER)
    if found is not None:
        json.dumps(found.document())
        assert found.record().fingerprint == found.fingerprint


def test_a_value_that_a_generation_does_not_print_is_not_taken_for_unset(tmp_path, capsys):
    (tmp_path / "old").write_text(V2018)
    (tmp_path / "new").write_text(V2023.replace(HASH, OTHER))
    assert main(["diff", str(tmp_path / "old"), str(tmp_path / "new"), "--json"]) == 1
    told = [cause["sentence"] for cause in json.loads(capsys.readouterr().out)["causes"]]
    assert "heap 2 GiB → 256 MiB" in told
    assert not any("not set" in one or "not known" in one for one in told)
