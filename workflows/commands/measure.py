"""The command `measure`."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from workflows.core.command import Argument, Command, Emit, Result
from workflows.core.events import Progress
from workflows.core.failure import Missing
from workflows.core.text import plural, size

_WORDS = {True: "✓", False: "✗", None: "—"}


class Measure(Command):
    """What is inside a signed enclave, an SGXS stream, a SIGSTRUCT or a quote, and whether it holds."""

    name = "measure"
    arguments = (
        Argument("file", ".signed.so, .sgxs, SIGSTRUCT or quote, told apart by content", metavar="FILE"),
        Argument("--map", "show the layout of the enclave's memory too", flag=True),
        Argument("--sigstruct", "compare an SGXS stream with this SIGSTRUCT", metavar="FILE"),
        Argument("--collateral", "JSON file: gives the TCB status of a quote", metavar="FILE"),
        Argument("--at", "check a quote for this time instead of now (2026-01-31)", metavar="TIME"),
    )

    def run(self, options: Mapping[str, Any], emit: Emit) -> Result:
        from workflows.sgx.inspection import inspect

        shown = 0

        def progress(done: int, total: int) -> None:
            nonlocal shown
            if done * 50 // max(total, 1) > shown:
                shown = done * 50 // max(total, 1)
                emit(Progress(task="measure", done=done, total=total))

        found = inspect(
            Path(options["file"]).expanduser(),
            layout=options["map"],
            signature=_path(options["sigstruct"]),
            collateral=_path(options["collateral"]),
            at=_time(options["at"]),
            progress=progress,
        )
        return Result(found.document, 0 if found.sound else 1)

    def lines(self, document: Mapping[str, Any]) -> Iterable[str]:
        if document["kind"] == "quote":
            yield from _quote(document)
        else:
            yield from _enclave(document)
        yield from (f"! {warning}" for warning in document["warnings"])


def _path(value: str | None) -> Path | None:
    return Path(value).expanduser() if value else None


def _time(value: str | None) -> datetime | None:
    if not value:
        return None
    try:
        found = datetime.fromisoformat(value.replace("Z", "+00:00"))
    except ValueError:
        raise Missing(
            f"--at {value!r:.40} is no time", "give it as 2026-01-31 or 2026-01-31T12:00:00Z"
        ) from None
    return found if found.tzinfo else found.replace(tzinfo=timezone.utc)


def _line(name: str, value: object, note: str = "") -> str:
    return f"  {name:<12} {value}{'   ' + note if note else ''}"


def _enclave(document: Mapping[str, Any]) -> Iterable[str]:
    kind = {"sdk": "signed enclave (Intel SDK)", "sgxs": "SGXS stream", "sigstruct": "SIGSTRUCT"}
    yield kind[document["kind"]]
    if document["mrenclave"]:
        yield _line("MRENCLAVE", document["mrenclave"], "computed")
    signed = document["sigstruct"]
    if signed:
        matches = document["matches"]
        note = "" if matches is None else "the same" if matches else "DIFFERS from the computed one"
        yield _line("signed", signed["mrenclave"], f"{_WORDS[matches]} {note}" if note else "")
        yield _line("MRSIGNER", signed["mrsigner"])
        wrong = [name for name, ok in signed["checks"].items() if not ok]
        valid = f"✗ wrong: {', '.join(wrong)}" if wrong else "✓ RSA-3072, q1 and q2 are right"
        yield _line("signature", valid)
        vendor = {0: "not Intel", 0x8086: "Intel"}.get(signed["vendor"], f"{signed['vendor']:#x}")
        yield _line("signed on", signed["date"] or "—", f"vendor {vendor}")
        yield _line("product", f"ISVPRODID {signed['isvprodid']}  ISVSVN {signed['isvsvn']}")
        yield _line("attributes", signed["attributes"], " ".join(signed["attribute_names"]))
    if document["pages"]:
        pages = document["pages"]
        yield _line(
            "pages",
            f"{pages['added']:,} added, {pages['measured']:,} measured",
            f"of {size(document['size'])}",
        )
        heap = "" if document["heap"] is None else f"heap {size(document['heap'])}, "
        yield _line("memory", heap + plural(document["threads"], "thread"))
    for block in document.get("metadata", [])[1:]:
        same = "same" if block["mrenclave"] == document["mrenclave"] else block["mrenclave"]
        yield _line(
            f"metadata {block['version']}", same, _WORDS[block["matches"] and block["signature_valid"]]
        )
    if "map" in document:
        yield "     offset        size  access  measured  what"
        for row in document["map"]:
            measured = "yes" if row["measured"] else "no" if row["added"] else "not added"
            note = f", {row['relocated']} relocated pages get W" if row["relocated"] else ""
            where = f"  {row['offset']:#9x}  {size(row['size']):>10}"
            yield f"{where}  {row['flags']:<6}  {measured:<9} {row['kind']}{note}"


def _quote(document: Mapping[str, Any]) -> Iterable[str]:
    quote = document["quote"]
    yield f"quote ({quote['type']}, version {quote['version']}){'  SIMULATED' if document['simulated'] else ''}"
    if "mrtd" in quote:
        yield _line("MRTD", quote["mrtd"])
        yield from (_line(f"RTMR{number}", value) for number, value in enumerate(quote["rtmr"]))
        yield _line("attributes", quote["td_attributes"], " ".join(quote["attribute_names"]))
    else:
        yield _line("MRENCLAVE", quote["mrenclave"])
        yield _line("MRSIGNER", quote["mrsigner"])
        yield _line("product", f"ISVPRODID {quote['isvprodid']}  ISVSVN {quote['isvsvn']}")
        yield _line("attributes", quote["attributes"], " ".join(quote["attribute_names"]))
        yield _line("CPUSVN", quote["cpu_svn"])
    yield _line("REPORTDATA", quote["report_data"][:64])
    yield _line("", quote["report_data"][64:])
    if quote.get("fmspc"):
        yield _line("platform", f"FMSPC {quote['fmspc']}  PCEID {quote['pceid']}")
    for check in document["checks"]:
        yield f"  {_WORDS[check['ok']]} {check['name']:<15} {check['detail']}"
    yield from (f"  ○ not checked: {text}" for text in document["not_checked"])
