"""The command `measure`."""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from workflows.core.command import Argument, Command, Emit, Result
from workflows.core.failure import Missing
from workflows.core.text import plural, size

_PATIENCE = 0.5  # seconds without a word: most enclaves are measured sooner
_WORDS = {True: "✓", False: "✗", None: "—"}


class Measure(Command):
    """What is inside a signed enclave, an SGXS stream, a SIGSTRUCT, a quote or a printout, and whether it holds."""

    name = "measure"
    arguments = (
        Argument(
            "file",
            ".signed.so, .sgxs, SIGSTRUCT, quote or kept output of SCONE, told apart by content",
            metavar="FILE",
        ),
        Argument("--map", "show the layout of the enclave's memory too", flag=True),
        Argument("--sigstruct", "compare an enclave or a stream with this SIGSTRUCT", metavar="FILE"),
        Argument("--collateral", "JSON file: gives the TCB status of a quote", metavar="FILE"),
        Argument(
            "--at", "check a quote for this time instead of now, such as 2026-01-31T12:00:00Z", metavar="TIME"
        ),
    )

    def run(self, options: Mapping[str, Any], emit: Emit) -> Result:
        from workflows.sgx.inspection import Unknown, inspect

        shown, begin = 0, time.monotonic()

        def progress(done: int, total: int) -> None:
            nonlocal shown
            if done * 50 // max(total, 1) > shown and time.monotonic() - begin > _PATIENCE:
                from workflows.core.events import Progress

                shown = done * 50 // max(total, 1)
                emit(Progress(task="measure", done=done, total=total))

        path = Path(options["file"]).expanduser()
        try:
            found = inspect(
                path,
                layout=options["map"],
                signature=_path(options["sigstruct"]),
                collateral=_path(options["collateral"]),
                at=_time(options["at"]),
                progress=progress,
            )
        except Unknown:
            from workflows.scone import transcript

            printed = transcript.read(path)
            if printed is None:
                raise
            return Result(printed.document())
        if found.document["kind"] != "quote" and (options["collateral"] or options["at"]):
            found.document["warnings"].append(
                "--collateral and --at are for quotes: nothing here depends on them"
            )
        return Result(found.document, 0 if found.sound else 1)

    def lines(self, document: Mapping[str, Any]) -> Iterable[str]:
        if document["kind"] == "quote":
            yield from _quote(document)
        elif document["kind"] == "printout":
            yield from _printout(document)
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


# The fields of a quote as Intel's manuals call them, in the order of a report.
_FIELDS = {
    "mrenclave": "MRENCLAVE", "mrtd": "MRTD", "rtmr": "RTMR", "mrsigner": "MRSIGNER", "isvprodid": "ISVPRODID",
    "isvsvn": "ISVSVN", "attributes": "attributes", "td_attributes": "attributes", "xfam": "XFAM",
    "cpu_svn": "CPUSVN", "tee_tcb_svn": "TEE TCB SVN", "tee_tcb_svn2": "TCB SVN 2", "misc_select": "MISCSELECT",
    "isv_ext_prod_id": "ISVEXTPRODID", "isv_family_id": "ISVFAMILYID", "config_id": "CONFIGID",
    "config_svn": "CONFIGSVN", "mrseam": "MRSEAM", "mrsigner_seam": "MRSIGNERSEAM", "seam_attributes": "SEAM attrs",
    "mr_config_id": "MRCONFIGID", "mr_owner": "MROWNER", "mr_owner_config": "MROWNERCONF",
    "mr_service_td": "MRSERVICETD", "report_data": "REPORTDATA",
}  # fmt: skip
_HEADER = {
    "qe_vendor": "QE vendor", "qe_svn": "QE SVN", "pce_svn": "PCE SVN", "user_data": "user data",
    "key_type": "key", "sign_type": "signature", "epid_group_id": "EPID group",
    "extended_epid_group_id": "extended", "basename": "basename", "signature_size": "signature's",
    "auth_data": "auth data", "certification": "certified by", "fmspc": "FMSPC", "pceid": "PCEID", "ppid": "PPID",
}  # fmt: skip
_WIDE = 96  # hex digits a line: a hash of TDX


def _quote(document: Mapping[str, Any]) -> Iterable[str]:
    quote = document["quote"]
    yield f"quote ({quote['type']}, version {quote['version']}){'  SIMULATED' if document['simulated'] else ''}"
    yield from _fields(quote, _FIELDS)
    yield from _fields(quote, _HEADER)
    if quote.get("qe_report"):
        yield "the quoting enclave's report"
        yield from _fields(quote["qe_report"], _FIELDS)
    for each in quote.get("certificates", ()):
        yield _line("certificate", each["subject"])
        valid = f"{each['not_before'][:10]} to {each['not_after'][:10]}"
        yield _line("", f"valid {valid}, serial {each['serial']}")
    yield "checks"
    for check in document["checks"]:
        yield f"  {_WORDS[check['ok']]} {check['name']:<15} {check['detail']}"
    yield from (f"  ○ not checked: {text}" for text in document["not_checked"])


def _printout(document: Mapping[str, Any]) -> Iterable[str]:
    printed = document["printout"]
    yield "printout of SCONE"
    yield _line("MRENCLAVE", document["mrenclave"], "as printed")
    for name, value in (
        ("FSPF key", printed["fspf_key"]),
        ("FSPF tag", printed["fspf_tag"]),
        ("entrypoint", printed["entrypoint"]),
        ("MRSIGNER", printed["mrsigner"]),
        ("signed on", printed["date"]),
        ("ISVPRODID", printed["isvprodid"]),
        ("ISVSVN", printed["isvsvn"]),
        ("attributes", printed["attributes"]),
        ("heap", document["heap"] and size(document["heap"])),
        ("stack", printed["stack"] and size(printed["stack"])),
        ("threads", document["threads"]),
        ("mode", printed["mode"]),
        ("dlopen", printed["dlopen"]),
        ("SCONE", printed["scone"]),
        ("musl", printed["libc"]),
        ("revision", printed["revision"]),
        ("regions", " ".join(printed["regions"]) or None),
    ):
        if value is not None:
            yield _line(name, value)
    yield from (_line("", f"{name}={value}") for name, value in printed["settings"].items())


def _fields(found: Mapping[str, Any], names: Mapping[str, str]) -> Iterable[str]:
    for field, name in names.items():
        value = found.get(field)
        if isinstance(value, list):
            yield from (_line(f"{name}{number}", _hex(each)) for number, each in enumerate(value))
        elif isinstance(value, str) and len(value) > _WIDE and value.strip("0"):
            yield _line(name, _hex(value[: len(value) // 2]))
            yield _line("", _hex(value[len(value) // 2 :]))
        elif value is not None:
            note = " ".join(found["attribute_names"]) if name == "attributes" else ""
            yield _line(name, _hex(value) if isinstance(value, str) else value, note)


def _hex(value: str) -> str:
    """Long hex as it is, but zeros counted."""
    return value if value.strip("0") or len(value) < 16 else f"0 ({len(value) // 2} bytes)"
