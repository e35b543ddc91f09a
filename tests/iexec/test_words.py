"""Single words are explained, true to what the program itself does, and no cause is hidden by one."""

from __future__ import annotations

import json
import re

import pytest

from workflows import cli
from workflows.core.text import clean
from workflows.iexec import tags, words
from workflows.steps.request import Request


def explained(capsys: pytest.CaptureFixture[str], *asked: str) -> tuple[int, dict[str, object]]:
    code = cli.main(["explain", *asked, "--json"])
    document: dict[str, object] = json.loads(capsys.readouterr().out)
    return code, document


@pytest.mark.parametrize(
    ("asked", "name"),
    [
        ("SMS", "SMS"), ("sms", "SMS"), ("CAS", "CAS"), ("las", "LAS"), ("MrEnclave", "MRENCLAVE"), ("FSPF", "FSPF"),
        ("PoCo", "PoCo"), ("deal", "deal"), ("orders", "order"), ("tag", "tag"), ("RLC", "RLC"), ("nRLC", "RLC"),
        ("Secret Management Service", "SMS"), ("What is it: CAS?", ""), ("fspf-tag", "FSPF tag"), ("SCONE", "SCONE"),
    ],
)  # fmt: skip
def test_a_word_is_explained_and_only_when_it_is_all_that_was_asked(
    asked: str, name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    code, document = explained(capsys, *asked.split())
    word = document["word"]
    assert (word["name"] if isinstance(word, dict) else "") == name
    assert code == (0 if name else 1)


def test_what_is_printed_says_what_it_is_and_where_to_read_on(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["explain", "sms"]) == 0
    said = capsys.readouterr().out
    assert said.startswith("SMS  (Secret Management Service)\n")
    assert "see      " in said and "source   iExecBlockchainComputing/iexec-sms" in said


def test_a_slip_in_a_word_gets_the_word(capsys: pytest.CaptureFixture[str]) -> None:
    code, document = explained(capsys, "mrenclav")
    assert code == 1 and document["near"][0] == "MRENCLAVE"  # type: ignore[index]


@pytest.mark.parametrize("slip", ["mrenclav", "enclav", "datase", "work"])
def test_each_of_what_may_be_meant_is_said_once(capsys: pytest.CaptureFixture[str], slip: str) -> None:
    code, document = explained(capsys, slip)
    near = document["near"]
    assert isinstance(near, list)
    assert code == 1 and near and len(near) == len(set(near)), near


def test_causes_are_explained_as_before(capsys: pytest.CaptureFixture[str]) -> None:
    for name in ("APP_COMPUTE_FAILED", "FAILED", "UNSET"):
        code, document = explained(capsys, name)
        assert code == 0 and document["explanations"] and document["word"] is None


def test_every_word_is_whole_short_and_leads_somewhere() -> None:
    spelt = [
        spelling for word in words.entries() for spelling in {word.name.lower(), *map(str.lower, word.also)}
    ]
    assert len(spelt) == len(set(spelt)), "a spelling belongs to one word"
    for word in words.entries():
        assert word.meaning.endswith(".") and 40 < len(word.meaning) < 300, word.name
        assert clean(word.meaning) == word.meaning and word.source
        for other in word.see:
            assert words.find(other) is not None and other != word.name, f"{word.name} sees {other}"


def test_what_the_words_say_in_numbers_is_what_the_program_does() -> None:
    tag, category = words.find("tag"), words.find("category")
    assert tag is not None and category is not None
    for ending, framework in re.findall(r"0x…(\d\d) (?:is )?tee\+(\w+)", tag.meaning):
        assert tags.encode(["tee", framework])[-2:] == ending
    [field] = [one for one in Request.fields if one.name == "category"]
    notes = [choice.note for choice in field.choices(None)]  # type: ignore[arg-type]
    units = {"minute": "min", "hour": "h"}
    times = re.findall(r"\d \((\w+)\) (\d+) (minute|hour)", category.meaning)
    assert [f"{name}: up to {count} {units[unit]} of computing" for name, count, unit in times] == notes
