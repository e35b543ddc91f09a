"""The ledger of pushes: nothing of a value in it, nothing lost by a kill, and what counts as pushed."""

from __future__ import annotations

import json
import re
import stat
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from tests.iexec.sms_vectors import DEAD, ONES
from workflows.core.failure import Failed, Missing, Unavailable
from workflows.iexec.secrets.kinds import KINDS, Secret, kind_of, secret
from workflows.iexec.secrets.ledger import Ledger, private_key

SMS = "https://sms.example.com"
PIN = secret(KINDS["requester-secret"], ONES.address, "pin")
APP = secret(KINDS["app-secret"], DEAD)


def pushed(ledger: Ledger, place: Secret, value: str, failure: Failed | None = None, sms: str = SMS) -> None:
    try:
        with ledger.pushing(sms, "SCONE", place, value):
            if failure is not None:
                raise failure
    except Failed as error:
        assert error is failure


def test_what_was_pushed_is_remembered_and_its_value_is_not(tmp_path: Path) -> None:
    ledger = Ledger(tmp_path / "secrets")
    pushed(ledger, APP, "correct horse")
    last = Ledger(tmp_path / "secrets").last(SMS, APP)
    assert last is not None and last.outcome == "stored" and last.secret == APP and last.at.endswith("Z")
    assert ledger.holds(SMS, APP, "correct horse") and not ledger.holds(SMS, APP, "correct hors")
    for path in (ledger.path, tmp_path / "secrets" / "commitment.key"):
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
        assert b"correct" not in path.read_bytes()
    assert stat.S_IMODE((tmp_path / "secrets").stat().st_mode) == 0o700


def test_a_commitment_is_of_the_place_and_under_a_key_of_its_own(tmp_path: Path) -> None:
    one, other = Ledger(tmp_path / "one"), Ledger(tmp_path / "other")
    known = one.commitment(PIN, "1234")
    assert known == one.commitment(PIN, "1234")
    assert (
        len({known, other.commitment(PIN, "1234"), one.commitment(APP, "1234"), one.commitment(PIN, "12345")})
        == 4
    )
    named = KINDS["named"]
    assert one.commitment(secret(named, DEAD, "Foo"), "x") == one.commitment(secret(named, DEAD, "foo"), "x")


def test_a_refusal_is_no_push_and_silence_may_be_one(tmp_path: Path) -> None:
    ledger = Ledger(tmp_path)
    pushed(ledger, APP, "one", Failed("409", name="secret_exists"))
    assert ledger.last(SMS, APP) is None
    pushed(ledger, APP, "two", Unavailable("no answer"))
    last = ledger.last(SMS, APP)
    assert last is not None and last.outcome == "sent" and not ledger.holds(SMS, APP, "two")
    pushed(
        ledger, APP, "two", Failed("409", name="secret_exists")
    )  # asked again: somebody's is there, perhaps ours
    last = ledger.last(SMS, APP)
    assert last is not None and last.outcome == "sent"
    pushed(ledger, APP, "two")
    assert ledger.holds(SMS, APP, "two") and len(ledger.pushes()) == 1


def test_a_kill_while_sending_leaves_the_question_open(tmp_path: Path) -> None:
    ledger = Ledger(tmp_path)
    with pytest.raises(KeyboardInterrupt), ledger.pushing(SMS, "SCONE", APP, "one"):
        raise KeyboardInterrupt
    last = ledger.last(SMS, APP)
    assert last is not None and last.outcome == "sent"


def test_an_sms_of_this_machine_is_the_same_on_another_port(tmp_path: Path) -> None:
    ledger = Ledger(tmp_path)
    pushed(ledger, APP, "one", sms="http://127.0.0.1:4000")
    assert ledger.holds("http://127.0.0.1:5000", APP, "one")
    assert ledger.last(SMS, APP) is None and not ledger.holds(SMS, APP, "one")


def test_a_torn_line_is_passed_over_and_the_next_one_stands_alone(tmp_path: Path) -> None:
    ledger = Ledger(tmp_path)
    pushed(ledger, APP, "one")
    with ledger.path.open("ab") as file:
        file.write(b'{"v":1,"sms":"ht')
    assert ledger.holds(SMS, APP, "one")
    pushed(ledger, PIN, "two")
    assert ledger.holds(SMS, APP, "one") and ledger.holds(SMS, PIN, "two")


@pytest.mark.parametrize(
    "line", [b"{}", b"[]", b"5", b'{"v":2}', b'{"v":1,"kind":"bogus"}', b"\xff", b'{"v":1,"sms":5}', b"[" * 5000],
    ids=["{}", "[]", "5", "v2", "kind", "binary", "type", "deep"],
)  # fmt: skip
def test_a_damaged_line_is_named(tmp_path: Path, line: bytes) -> None:
    ledger = Ledger(tmp_path)
    ledger.path.write_bytes(line + b"\n" + line + b"\nrest")
    with pytest.raises(Failed, match=r"line 1 of .*pushed\.jsonl"):
        ledger.pushes()


def test_a_hostile_ledger_names_no_path(tmp_path: Path) -> None:
    ledger = Ledger(tmp_path)
    pushed(ledger, PIN, "one")
    text = ledger.path.read_text().replace('"pin"', '"../../admin"')
    ledger.path.write_text(text + text)
    with pytest.raises(Failed, match="line 1"):
        ledger.pushes()


def test_a_damaged_key_is_refused_and_never_used(tmp_path: Path) -> None:
    private_key(tmp_path / "commitment.key")
    (tmp_path / "commitment.key").write_bytes(b"")
    with pytest.raises(Failed, match="damaged"):
        Ledger(tmp_path).commitment(APP, "x")
    assert [path.name for path in tmp_path.iterdir()] == ["commitment.key"]


@given(st.text(max_size=80))
def test_only_names_that_an_sms_takes_make_a_place(name: str) -> None:
    for kind in (KINDS["requester-secret"], KINDS["named"]):
        try:
            made = secret(kind, DEAD, name)
        except Missing:
            continue
        assert re.fullmatch("[0-9A-Za-z_-]{1,64}", made.name)


def test_reserved_names_have_kinds_of_their_own() -> None:
    with pytest.raises(Missing, match="Dropbox token"):
        secret(KINDS["named"], DEAD, "IEXEC-result-dropbox-token")
    with pytest.raises(Missing, match="no kind of secret"):
        kind_of("bogus")
    with pytest.raises(Missing, match="address"):
        secret(KINDS["app-secret"], "0x12")


def test_accepted_warnings_are_remembered_until_that_is_taken_back(tmp_path: Path) -> None:
    ledger = Ledger(tmp_path / "secrets")
    assert ledger.accepted() == {} and not (tmp_path / "secrets").exists(), "looking leaves no trace"
    since = ledger.accept("0a1b2c3d", "an order lets another app read it")
    ledger.accept("ffffffff", "another")
    assert ledger.accepted()["0a1b2c3d"] == since and len(ledger.accepted()) == 2
    path = tmp_path / "secrets" / "accepted.jsonl"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    with path.open("ab") as file:
        file.write(b"\xff\n[]\n{}\n5\n" + b'{"warning":[],"accepted":"x"}\n{"warning":"torn')
    assert ledger.accept("0a1b2c3d", "again", undo=True) is None
    assert set(ledger.accepted()) == {"ffffffff"} and ledger.pushes() == []


class Pushes(RuleBasedStateMachine):
    """Against a dictionary: the last value stored at each place is the one that the ledger holds."""

    def __init__(self) -> None:
        super().__init__()
        import tempfile

        self.folder = tempfile.TemporaryDirectory()
        self.ledger = Ledger(Path(self.folder.name) / "secrets")
        self.stored: dict[tuple[str, Secret], str] = {}
        self.open: set[tuple[str, Secret]] = set()

    def teardown(self) -> None:
        self.folder.cleanup()

    @rule(
        place=st.sampled_from([PIN, APP]), sms=st.sampled_from([SMS, "http://localhost:1"]),
        value=st.sampled_from("abc"), end=st.sampled_from(["stored", "refused", "silent"]),
    )  # fmt: skip
    def push(self, place: Secret, sms: str, value: str, end: str) -> None:
        failure = {"stored": None, "refused": Failed("no"), "silent": Unavailable("?")}[end]
        pushed(self.ledger, place, value, failure, sms)
        if end == "stored":
            self.stored[sms, place] = value
            self.open.discard((sms, place))
        elif end == "silent":
            self.open.add((sms, place))

    @invariant()
    def agrees(self) -> None:
        known = {(push.sms, push.secret) for push in self.ledger.pushes()}
        assert known == self.stored.keys() | self.open
        for (sms, place), value in self.stored.items():
            if (sms, place) not in self.open:
                assert self.ledger.holds(sms, place, value)
        if self.ledger.path.exists():
            for line in self.ledger.path.read_text().splitlines():
                assert len(json.loads(line)["commitment"]) == 64


TestPushes = Pushes.TestCase
TestPushes.settings = settings(max_examples=15, stateful_step_count=12, deadline=None)
