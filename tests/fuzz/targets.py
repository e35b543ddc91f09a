"""What is fuzzed: each target takes bytes, may refuse them with Failed in one line, and must do nothing else.

The tests run the same targets with hypothesis (`tests/sgx/test_fuzz.py`), `make fuzz` with atheris.
"""

from __future__ import annotations

import dataclasses
import json
import os
import struct
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from workflows.commands.measure import Measure
from workflows.core.failure import Failed
from workflows.core.text import MAX_LINE, clean
from workflows.iexec.secrets import known, uses
from workflows.scone import lint_reproducible, record, session, session_model, signer_info
from workflows.scone import printouts as readers
from workflows.scone.difference import compare
from workflows.sgx.inspection import inspect

_READERS = (
    readers.enclave_hash, readers.settings, readers.keytag, readers.protect_block,
    readers.fspf_lines, readers.fspf_line, signer_info.read,
)  # fmt: skip


@dataclass(frozen=True)
class Target:
    """`one` is called with an input, `seeds` gives inputs to begin with."""

    one: Callable[[bytes], None]
    seeds: Callable[[], Iterator[bytes]]


def measure(data: bytes) -> None:
    """`creamtea measure FILE` on any bytes: a document that can be shown, or one clear line."""
    handle, name = tempfile.mkstemp()
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(data)
        document = inspect(Path(name), layout=True).document
    except Failed as failure:
        if not failure.hint or not failure.message.isprintable():
            raise AssertionError(f"not one clear line: {failure.message!r}") from failure
        return
    finally:
        Path(name).unlink()
    json.dumps(document)
    if not all(line.isprintable() for line in Measure().lines(document)):
        raise AssertionError("a line that a terminal would act on")


def records(data: bytes) -> None:
    """A measurement record from anywhere: read and compared with a sound one, or one clear line."""
    from tests.scone.measurements import BUILD
    from workflows.commands.diff import Diff

    try:
        found = record.read(data)
    except Failed as failure:
        _clear(failure)
        return
    if record.read(record.write(found)) != found:
        raise AssertionError("it is not written as it was read")
    sides = {
        name: {"name": clean(one.name), "at": clean(one.at)} for name, one in (("a", BUILD), ("b", found))
    }
    document = {**compare(BUILD, found).document(), **sides}
    json.dumps(document)
    if any(line[:MAX_LINE] != clean(line[:MAX_LINE]) for line in Diff().lines(document)):
        raise AssertionError("a line that a terminal would act on")


def printouts(data: bytes) -> None:
    """What SCONE's tools print, by every reader: a value, or one clear line."""
    text = data.decode("utf-8", "replace")
    for reader in _READERS:
        try:
            reader(text)
        except Failed as failure:
            _clear(failure)


def dockerfiles(data: bytes) -> None:
    """A Dockerfile with a requirements file of the same text: findings, each one clear line."""
    text = data.decode("utf-8", "replace")
    for finding in lint_reproducible.check(text, ["requirements.txt", "a/b.py"], read=lambda _: text):
        if finding.text != clean(finding.text) or not finding.hint:
            raise AssertionError(f"not one clear line: {finding!r}")


def sessions(data: bytes) -> None:
    """A text posted to CAS: a session that is written as it was read, or one clear line."""
    try:
        found = session.parse(data)
    except session_model.SessionError as error:
        if error.line < 1 or error.reason != clean(error.reason) or len(error.reason) > 2000:
            raise AssertionError(f"not one clear line: {error}") from error
        return
    if session.parse(session.render(found)) != found:
        raise AssertionError("it is not written as it was read")


def orders(data: bytes) -> None:
    """A file of orders from anywhere: what each lets be used, in clear lines, or one clear line."""
    try:
        found = known.parse_file(data)
    except Failed as failure:
        _clear(failure)
        return
    for use in uses.uses([known.Known(order, "0x", "a file", 1) for order in found], ()):
        if use.sentence != clean(use.sentence) or use.secret.title != clean(use.secret.title):
            raise AssertionError(f"not one clear line: {use!r}")


def _clear(failure: Failed) -> None:
    if failure.message != clean(failure.message):
        raise AssertionError(f"not one clear line: {failure.message!r}") from failure


def enclaves() -> Iterator[bytes]:
    from tests.sgx.enclaves import ADD, HEAP, Entry, Group, Plan, build, thread

    yield build(Plan()).file
    layout = [Entry(HEAP, 9, ADD), *thread(), Group(7, 2), Entry(99, 2, content=b"c" * 5000)]
    yield build(Plan(layout=layout, patches=[(0x1010, b"patch")], relocations=[0x10])).file
    yield build(Plan(version=(11, 5), elrange=(0x200000, 0, 0x400000))).file
    yield build(Plan(version=(3, 3), more_versions=[(1, 5)])).file
    yield build(Plan(version=(1, 3))).file


def streams() -> Iterator[bytes]:
    from tests.sgx.enclaves import ecreate, page_records, record

    whole = ecreate(1 << 20) + page_records(0, 0x205, b"c" * 4096) + page_records(4096, 0x100, bytes(4096))
    yield whole + b"".join(page_records(at * 4096, 0x203, None) for at in range(2, 9))
    yield whole + record(b"UNMEASRD", 4096) + bytes(256)


def sigstructs() -> Iterator[bytes]:
    from tests.sgx.enclaves import sigstruct

    yield sigstruct(bytes(32))
    yield sigstruct(bytes(32)).hex().encode()


def quotes() -> Iterator[bytes]:
    from tests.sgx.quotes import BODY, Platform

    platform = Platform()
    yield platform.quote(body=BODY.pack())
    yield platform.quote(4, 0x81, bytes(584))
    yield platform.quote(5, 0x81, bytes(648))
    yield struct.pack("<HH44x", 2, 1) + BODY.pack() + struct.pack("<I", 8) + bytes(8)


def builds() -> Iterator[bytes]:
    from tests.scone.measurements import BUILD, rebuilt

    yield record.write(BUILD).encode()
    yield record.write(dataclasses.replace(rebuilt(BUILD), sources=None, settings=None)).encode()


def prints() -> Iterator[bytes]:
    from tests.scone import printed

    texts = (
        printed.V2018,
        printed.V2023,
        *printed.BLOCKS.values(),
        printed.ENCRYPTED,
        printed.TEXT,
        printed.YAML,
    )
    yield from (f"{printed.WARNING}\n{text}".encode() for text in texts)


def recipes() -> Iterator[bytes]:
    yield b"FROM python:3 AS a\nRUN apk add b=1 && pip install -r requirements.txt d\nCOPY --from=a . /app\n"
    yield b"FROM a\nRUN <<EOF\nnpm i -g x@1 y\ngit clone https://z\nEOF\nRUN date `date`\nCOPY . .\n"


def policies() -> Iterator[bytes]:
    from tests.localnet.cas.cas_world import session as example
    from tests.localnet.cas.test_secrets import written

    yield session.render(example()).encode()
    yield written().encode()
    rule = f"{{mrenclave: [{'11' * 32}], signer: {{mrsigner: {'22' * 32}, isvprodid: 8, isvsvn_min: 3}}}}"
    yield (
        "name: a/b\nversion: '0.3.10'\nsalt: " + "ab" * 16 + "\nnamespace_hash: " + "cd" * 32 + "\n"
        f"access_policy: {{read: ANY, update: [CREATOR, {'ef' * 32}], create_sessions: [NONE]}}\n"
        f"services:\n- name: app\n  command: a 'b c'\n  attestation: &r [{rule}]\n"
        "- {name: b, attestation: *r, fspf_update_policy: rollback_protected_reinitializable}\n"
        "security: {singleton_enclaves: false, attestation: {mode: maa, tolerate: [debug-mode],"
        " ignore_advisories: '*'}}\n"
    ).encode()


def signed() -> Iterator[bytes]:
    from workflows.iexec import params
    from workflows.iexec.orders import DatasetOrder, RequestOrder
    from workflows.iexec.tags import TEE_SCONE

    thing = "0x" + "ab" * 20
    text = params.build(secrets={1: "pin"}, result_encryption=True, storage_provider="dropbox").to_text()
    request = RequestOrder(app=thing, requester=thing, beneficiary=thing, tag=TEE_SCONE, params=text)
    data = DatasetOrder(dataset=thing, tag=TEE_SCONE, apprestrict=thing, datasetprice=5)
    yield json.dumps({"134": {"requestorder": request.to_json(), "datasetorder": data.to_json()}}).encode()


TARGETS = {
    "enclaves": Target(measure, enclaves),
    "streams": Target(measure, streams),
    "sigstructs": Target(measure, sigstructs),
    "quotes": Target(measure, quotes),
    "records": Target(records, builds),
    "printouts": Target(printouts, prints),
    "sessions": Target(sessions, policies),
    "dockerfiles": Target(dockerfiles, recipes),
    "orders": Target(orders, signed),
}
