"""The SMS against a dictionary: any order of posts, new values, questions, restarts and restores; races and kills."""

from __future__ import annotations

import functools
import shutil
import tempfile
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import count
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, settings, stateful
from hypothesis import strategies as st

from tests.conformance.sms import wire
from tests.localnet.sms.served import Process, Served
from tests.localnet.sms.sms_world import APP, DATASET, DEVELOPER, POOL, REQUESTER, WORKER
from workflows.iexec import challenge
from workflows.iexec.signatures import sign_digest
from workflows.localnet.sms.store import Store

WALLETS = (REQUESTER, WORKER)
ADMIN = "key"
VALUES = st.one_of(
    st.sampled_from(["x", "y", " ", "\t\r\n", " x ", "\r\n", "é" * 2048, "é" * 2049, "x" * 4096, "x" * 4097]),
    st.text(min_size=1, max_size=20),
    st.sampled_from("aé€😀").flatmap(
        lambda c: st.integers(-1, 1).map(lambda n: c * (4096 // len(c.encode()) + n))
    ),
)
NAMES = st.sampled_from(["foo", "Foo", "FOO", "bar", "ba.r", "iexec-result-dropbox-token"])
KEYS = st.sampled_from(["foo", "Foo", "bar", "x" * 64, "x" * 65, "a.b"])

signed = functools.lru_cache(maxsize=None)(sign_digest)


def kept(value: str) -> str:
    """What is stored of a value: nothing of what Java calls blank."""
    from workflows.localnet.sms.store import _NOT_BLANK

    return "" if all(c.isspace() and c not in _NOT_BLANK for c in value) else value


def large(value: str) -> bool:
    return len(value.encode()) > 4096


class Model(stateful.RuleBasedStateMachine):
    """`there` maps kind, owner and name to what the SMS must hold."""

    def __init__(self) -> None:
        super().__init__()
        self.folder = Path(tempfile.mkdtemp(prefix="sms-model-"))
        self.served = Served(self.folder / "sms", admin_key=ADMIN)
        self.sms = self.served.start()
        self.there: dict[tuple[str, str, str], str] = {}
        self.backed_up: dict[tuple[str, str, str], str] | None = None

    def post(self, place: tuple[str, str, str], path: str, digest: str, value: str, signer: Any, right: Any,
             *, bad_key: bool = False, too_large: int = 413) -> None:  # fmt: skip
        said = self.sms.call("POST", path, value, {"Authorization": signed(signer, digest)}).status
        if signer is not right:
            assert said == 401
        elif bad_key:
            assert said == 400
        elif large(value):
            assert said == too_large
        elif place in self.there:
            assert said == 409
        else:
            assert said == 204
            self.there[place] = kept(value)

    @stateful.rule(owner=st.sampled_from(WALLETS), signer=st.sampled_from(WALLETS), name=NAMES, value=VALUES)
    def post_named(self, owner: Any, signer: Any, name: str, value: str) -> None:
        digest = challenge.web2(owner.address, name, value)
        place = ("web2", owner.address, name.lower())
        self.post(place, wire.web2(owner.address, name), digest, value, signer, owner)

    @stateful.rule(owner=st.sampled_from(WALLETS), signer=st.sampled_from(WALLETS), name=NAMES, value=VALUES)
    def put_named(self, owner: Any, signer: Any, name: str, value: str) -> None:
        digest = challenge.web2(owner.address, name, value)
        place = ("web2", owner.address, name.lower())
        path = wire.web2(owner.address, name)
        said = self.sms.call("PUT", path, value, {"Authorization": signed(signer, digest)}).status
        if signer is not owner:
            assert said == 401
        elif large(value):
            assert said == 413
        else:
            assert said == (204 if place in self.there else 404)
            if said == 204:
                self.there[place] = kept(value)

    @stateful.rule(owner=st.sampled_from(WALLETS), signer=st.sampled_from(WALLETS), key=KEYS, value=VALUES)
    def post_requester(self, owner: Any, signer: Any, key: str, value: str) -> None:
        digest = challenge.requester(owner.address, key, value)
        place = ("requester", owner.address, key)
        path = wire.requester(owner.address, key)
        bad = key in ("x" * 65, "a.b")
        self.post(place, path, digest, value, signer, owner, bad_key=bad, too_large=400)

    @stateful.rule(value=VALUES, signer=st.sampled_from([DEVELOPER, POOL]), upper=st.booleans())
    def post_app(self, value: str, signer: Any, upper: bool) -> None:
        address = "0x" + APP[2:].upper() if upper else APP
        digest = challenge.app(address, value)
        self.post(("app", APP, "1"), wire.app(address), digest, value, signer, DEVELOPER)

    @stateful.rule(value=VALUES, signer=st.sampled_from([DEVELOPER, POOL]))
    def post_dataset(self, value: str, signer: Any) -> None:
        digest = challenge.web3(DATASET, value)
        self.post(("web3", DATASET, ""), wire.web3(DATASET), digest, value, signer, DEVELOPER)

    @stateful.rule(owner=st.sampled_from(WALLETS), name=NAMES, key=KEYS)
    def ask(self, owner: Any, name: str, key: str) -> None:
        def status(place: tuple[str, str, str]) -> int:
            return 204 if place in self.there else 404

        assert self.sms.head(wire.web2(owner.address, name)) == status(("web2", owner.address, name.lower()))
        bad = key in ("x" * 65, "a.b")
        expected = 400 if bad else status(("requester", owner.address, key))
        assert self.sms.head(wire.requester(owner.address.lower(), key)) == expected
        assert self.sms.head(wire.app(APP)) == status(("app", APP, "1"))
        assert self.sms.head(wire.web3(DATASET.lower())) == status(("web3", DATASET, ""))

    @stateful.rule()
    def restart(self) -> None:
        self.served.stop()
        self.sms = self.served.start()

    def admin(self, path: str) -> int:
        return self.sms.call("POST", "/admin" + path, headers={"X-API-KEY": ADMIN}).status

    @stateful.rule()
    def backup(self) -> None:
        assert self.admin("/backup") == 201
        self.backed_up = dict(self.there)

    @stateful.precondition(lambda self: self.backed_up is not None)
    @stateful.rule()
    def restore(self) -> None:
        assert self.admin(f"/{b'work'.hex()}/restore-backup?fileName=backup.sql") == 200
        assert self.backed_up is not None
        self.there = dict(self.backed_up)

    def teardown(self) -> None:
        self.served.close()
        store = Store(self.folder / "sms")
        try:
            assert {place: store.get(*place) for place in self.there} == self.there  # type: ignore[arg-type]
            assert sum(store.counts().values()) == len(self.there)
        finally:
            store.close()
            shutil.rmtree(self.folder)


# Not shrunk: each step is some requests, and what failed is short enough to read.
Model.TestCase.settings = settings(
    max_examples=10,
    stateful_step_count=20,
    deadline=None,
    suppress_health_check=list(HealthCheck),
    phases=(Phase.explicit, Phase.reuse, Phase.generate),
)
TestModel = Model.TestCase


@pytest.fixture
def served(tmp_path: Path) -> Iterator[wire.Sms]:
    one = Served(tmp_path / "sms")
    yield one.start()
    one.close()


def test_of_many_posts_at_once_exactly_one_is_stored_and_it_is_the_one_that_was_told_so(
    served: wire.Sms, tmp_path: Path
) -> None:
    def post(number: int, kind: str) -> int:
        value = f"value {number // 2}"  # each value twice
        return {
            "web3": lambda: served.web3(DATASET, value, DEVELOPER),
            "web2": lambda: served.web2(REQUESTER, "Name" if number % 2 else "name", value),
            "app": lambda: served.app(APP.lower() if number % 2 else APP, value, DEVELOPER),
            "requester": lambda: served.requester(REQUESTER, "key", value),
        }[kind]().status

    winners = {}
    with ThreadPoolExecutor(12) as pool:
        for kind in ("web3", "web2", "app", "requester"):
            said = list(pool.map(lambda number, kind=kind: post(number, kind), range(12)))
            assert sorted(said) == [204] + [409] * 11
            winners[kind] = f"value {said.index(204) // 2}"
    store = Store(tmp_path / "sms")  # a second reader of the same files
    places = (("web3", DATASET, ""), ("web2", REQUESTER.address, "name"), ("app", APP, "1"),
              ("requester", REQUESTER.address, "key"))  # fmt: skip
    assert {place[0]: store.get(*place) for place in places} == winners
    store.close()


def test_a_kill_during_posts_leaves_each_secret_whole_or_absent(tmp_path: Path) -> None:
    """Three lives; what was answered with 204 is there afterwards, what was not may be, but then it is complete."""
    numbers, sent, answered = count(), {}, set()
    owner = REQUESTER
    with ThreadPoolExecutor(6) as pool:
        for life in range(3):
            process = Process(tmp_path)
            sms, enough, over = wire.Sms(process.url), threading.Event(), threading.Event()

            def post(
                sms: wire.Sms = sms, enough: Any = enough, over: Any = over, wanted: int = 5 + 4 * life
            ) -> None:
                done = 0
                while not over.is_set():
                    key = f"key-{next(numbers)}"
                    sent[key] = key * 300
                    try:
                        said = sms.requester(owner, key, sent[key]).status
                    except OSError:
                        return  # killed in the middle of it
                    assert said == 204
                    answered.add(key)
                    done += 1
                    if done == wanted:
                        enough.set()

            posts = [pool.submit(post) for _ in range(4)]
            assert enough.wait(60)
            process.kill()
            over.set()
            for one in posts:
                one.result()
    store = Store(tmp_path)
    found = {key: store.get("requester", owner.address, key) for key in sent}
    store.close()
    assert {key for key, value in found.items() if value is not None} >= answered
    assert len(answered) >= 27
    assert all(value in (None, sent[key]) for key, value in found.items())
