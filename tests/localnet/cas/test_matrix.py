"""The attestation matrix: each row changes one thing of an enclave that fits. Secrets are released in one row.

Quotes are real ones by the development key, of reports that say what the row says; they go through the port
where enclaves attest.
"""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from tests.localnet.cas.cas_world import APP, OTHER, SECRET, World, ruled, session
from tests.sgx.quotes import Platform
from workflows.localnet.cas.attestation import report_data
from workflows.scone.session import render
from workflows.scone.session_model import Attestation, Rule, Service, Signer
from workflows.sgx.pki import development_pki
from workflows.sgx.quote import DEBUG_ENCLAVE, Quoter, Report

On = Callable[[Callable[[World], Awaitable[None]]], None]
SIGNER, STRANGER = "5c" * 32, "5d" * 32
PRODUCTION = bytes([DEBUG_ENCLAVE[0] & ~0x2]) + DEBUG_ENCLAVE[1:]
FITS = Report(
    bytes.fromhex(APP), bytes.fromhex(SIGNER), bytes(64), attributes=PRODUCTION, isv_prod_id=7, isv_svn=3
)


@dataclass(frozen=True)
class Row:
    """One attempt. `bound` is the session that the quote was made for, when not the one that is asked for."""

    reason: str = ""
    asked: str = "task-1/app"
    bound: str | None = None
    report: Report = FITS
    nonce: bytes | None = None
    certificate: bytes | None = None
    foreign: bool = False
    live: bool = False
    spoil: int | None = None


ROWS = {
    "the enclave that fits": Row(),
    "another MRENCLAVE": Row("MRENCLAVE mismatch", report=replace(FITS, mrenclave=bytes(32))),
    "another signer": Row("signer mismatch", report=replace(FITS, mrsigner=bytes.fromhex(STRANGER))),
    "another product": Row("signer mismatch", report=replace(FITS, isv_prod_id=8)),
    "an older version": Row("ISVSVN is 2, expected 3 to 5", report=replace(FITS, isv_svn=2)),
    "a newer version": Row("ISVSVN is 6, expected 3 to 5", report=replace(FITS, isv_svn=6)),
    "debug mode": Row("does not tolerate", report=replace(FITS, attributes=DEBUG_ENCLAVE)),
    "a session that is not there": Row('session "task-9" not found', asked="task-9/app"),
    "a service that is not there": Row('no service "pre"', asked="task-1/pre"),
    "another service": Row("MRENCLAVE mismatch", asked="task-1/post"),
    "no service": Row("is not <session>/<service>", asked="task-1"),
    "another task's session": Row("MRENCLAVE mismatch", asked="task-2/app"),
    "a quote for another task's session": Row("another connection", bound="task-2/app"),
    "a quote for another service": Row("another connection", bound="task-1/post"),
    "a stale nonce": Row("another connection", nonce=bytes(32)),
    "another CAS's certificate": Row("another connection", certificate=b"another certificate"),
    "another root": Row("does not verify", foreign=True),
    "a machine whose quotes do not say SIMULATED": Row("expected root", live=True),
    "a changed report": Row("does not verify", spoil=48 + 64),
    "a changed signature": Row("does not verify", spoil=436),
}


def sessions() -> list[str]:
    """Two tasks: the first one's enclave by hash and signer, in production mode; the second one's another."""
    fits = Rule((APP,), Signer(SIGNER, 7, 3, 5))
    app = Service("app", attestation=(fits,), command=("python3",), environment={"SECRET": SECRET})
    post = replace(app, name="post", attestation=(Rule((OTHER,)),))
    common: dict[str, Any] = {"images": (), "volumes": (), "attestation": Attestation()}
    other = replace(app, attestation=(Rule(("77" * 32,)),))
    return [
        render(session("task-1", services=(app, post), **common)),
        render(session("task-2", services=(other,), **common)),
    ]


async def attempt(world: World, row: Row, quoter: Quoter) -> dict[str, Any]:
    def quote(nonce: bytes, certificate: bytes) -> bytes:
        data = report_data(row.nonce or nonce, row.bound or row.asked, row.certificate or certificate)
        report = replace(row.report, report_data=data)
        made = bytearray(Platform().quote(body=report.pack()) if row.live else quoter.attest(report))
        if row.spoil is not None:
            made[row.spoil] ^= 1
        return bytes(made)

    return await world.by_hand(row.asked, quote)


def released(answer: dict[str, Any]) -> bool:
    return SECRET in json.dumps(answer)


def test_secrets_are_released_in_exactly_one_row(on_cas: On, tmp_path: Path) -> None:
    async def body(world: World) -> None:
        for text in sessions():
            await world.client().post(text)
        ours = Quoter(development_pki(world.folder / "keys"))
        foreign = Quoter(development_pki(tmp_path / "foreign"))
        given = []
        for name, row in ROWS.items():
            answer = await attempt(world, row, foreign if row.foreign else ours)
            if released(answer):
                given.append(name)
            assert list(answer) == (["error"] if row.reason else ["ok"]), name
            assert row.reason in str(answer.get("error", "")), (name, answer)
        assert given == ["the enclave that fits"]

    on_cas(body)


def test_a_quote_serves_once_and_a_nonce_does_not_outlive_cas(on_cas: On) -> None:
    """Sessions survive a restart of CAS; a quote for a nonce of before opens nothing, nor does a replayed one."""
    kept: list[bytes] = []
    nonces: list[bytes] = []

    def remembered(quoter: Quoter) -> Callable[[bytes, bytes], bytes]:
        def quote(nonce: bytes, certificate: bytes) -> bytes:
            nonces.append(nonce)
            data = report_data(nonce, "task-1/app", certificate)
            kept.append(quoter.attest(replace(FITS, report_data=data)))
            return kept[-1]

        return quote

    async def before(world: World) -> None:
        for text in sessions():
            await world.client().post(text)
        quoter = Quoter(development_pki(world.folder / "keys"))
        assert released(await world.by_hand("task-1/app", remembered(quoter)))
        assert "another connection" in (await world.by_hand("task-1/app", kept[0]))["error"]
        remembered(quoter)(bytes(32), b"")  # a nonce that was never shown

    async def after(world: World) -> None:
        quoter = Quoter(development_pki(world.folder / "keys"))
        for quote in kept:
            assert "another connection" in (await world.by_hand("task-1/app", quote))["error"]
        old = Row(nonce=nonces[0])
        assert "another connection" in (await attempt(world, old, quoter))["error"]
        assert released(await world.by_hand("task-1/app", remembered(quoter)))
        assert len(set(nonces)) == len(nonces)

    on_cas(before)
    on_cas(after)


HASH, SIGNED = Rule((APP,)), Rule((), Signer(SIGNER, 7, 3, 5))


RULED = [
    ((HASH,), FITS, True),
    ((HASH,), replace(FITS, mrsigner=bytes(32), isv_prod_id=0), True),
    ((Rule((OTHER, APP)),), FITS, True),
    ((SIGNED,), replace(FITS, mrenclave=bytes(32)), True),
    ((SIGNED,), replace(FITS, isv_svn=5), True),
    ((SIGNED,), replace(FITS, isv_svn=6), False),
    ((Rule((), Signer(SIGNER, 7)),), replace(FITS, isv_svn=65535), True),
    ((Rule((), Signer(SIGNER, 7, 4, 4)),), FITS, False),  # one version, and no least one
    ((Rule((), Signer(SIGNER, 7, 4, 4)),), replace(FITS, isv_svn=5), False),
    ((Rule((APP,), SIGNED.signer),), FITS, True),
    ((Rule((APP,), SIGNED.signer),), replace(FITS, mrenclave=bytes(32)), False),
    ((Rule((APP,), SIGNED.signer),), replace(FITS, mrsigner=bytes(32)), False),
    ((Rule((OTHER,)), SIGNED), FITS, True),  # one of the alternatives is enough
    ((Rule((OTHER,)), Rule((), Signer(STRANGER, 7))), FITS, False),
    # what one alternative has is no help to the other: hash of the first, signer of the second
    ((Rule((APP,), Signer(STRANGER, 7)), Rule((OTHER,), SIGNED.signer)), FITS, False),
]


def test_rules_are_alternatives_and_the_parts_of_one_hold_together(on_cas: On) -> None:
    async def body(world: World) -> None:
        quoter = Quoter(development_pki(world.folder / "keys"))
        for number, (rules, report, fits) in enumerate(RULED):
            await world.client().post(render(ruled(f"task-{number}", *rules)))
            answer = await attempt(world, Row(asked=f"task-{number}/app", report=report), quoter)
            assert (released(answer), "error" in answer) == (fits, not fits), (rules, answer)

    on_cas(body)


def test_without_attestation_any_enclave_with_a_quote_of_this_localnet_is_served(
    on_cas: On, tmp_path: Path
) -> None:
    async def body(world: World) -> None:
        service = Service("app", command=("python3",), environment={"SECRET": SECRET})
        open_to_all = session(
            "task-1", services=(service,), images=(), volumes=(), attestation=Attestation("none")
        )
        await world.client().post(render(open_to_all))
        unknown = Row(report=replace(FITS, mrenclave=bytes(32), attributes=DEBUG_ENCLAVE))
        ours = Quoter(development_pki(world.folder / "keys"))
        foreign = Quoter(development_pki(tmp_path / "foreign"))
        assert released(await attempt(world, unknown, ours))
        assert not released(await attempt(world, unknown, foreign))

    on_cas(body)
