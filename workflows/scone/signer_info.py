"""What `scone signer info FILE` prints: the SIGSTRUCT in a signed program, field by field, in text or YAML.

Read by the names of its fields, whatever stands between name and value; a value may go on in the lines below.
Names: SCONE's documentation of `scone signer`.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass

from workflows.core.text import clean
from workflows.scone.printouts import Absent, Unreadable

# Our name → what it is called once letters and digits alone are left of it, and how many hex digits it has.
_FIELDS: dict[str, tuple[str, int | None]] = {
    "header": ("header", 32), "vendor": ("vendor", 8), "date": ("date", None), "header2": ("header2", 32),
    "software": ("softwaredefined", 8), "modulus": ("modulus", 768), "exponent": ("exponent", 8),
    "signature": ("signature", 768), "misc_select": ("miscselect", 8), "misc_mask": ("miscmask", 8),
    "attributes": ("attributes", 32), "attributes_mask": ("attributesmask", 32),
    "mrenclave": ("mrenclave", 64), "mrsigner": ("mrsigner", 64), "product": ("isvproductid", None),
    "svn": ("isvsvn", None), "q1": ("q1", 768), "q2": ("q2", 768), "debug": ("debug", None),
    "bits": ("64bit", None), "provisioning": ("provisioningkey", None), "token": ("einittokenkey", None),
    "xfrm": ("xfrm", None),
}  # fmt: skip
_NAMES = {called: name for name, (called, _) in _FIELDS.items()}
_LINE = re.compile(r"[\s\-*•]*([A-Za-z0-9][A-Za-z0-9 #_/.\-]{0,40}?)\s*(?:\([^)]*\)\s*)?[:=]\s*(.*)")
_MORE = re.compile(r"[0-9a-fA-F]{2}(?:[\s:]*[0-9a-fA-F]{2})*")
_YES = {"yes": True, "true": True, "1": True, "no": False, "false": False, "0": False}


@dataclass(frozen=True)
class SignerInfo:
    """A SIGSTRUCT as it was printed. Hashes: 64 lower-case hex digits; the rest as text, None if not printed."""

    mrenclave: str
    mrsigner: str | None
    date: str | None
    product: str | None
    svn: str | None
    attributes: str | None
    debug: bool | None
    fields: Mapping[str, str]


def read(text: str) -> SignerInfo:
    """The fields of a printout; other lines are passed over. Unreadable names the one that is wrong."""
    found = _fields(text)
    for name, (_, digits) in _FIELDS.items():
        if digits is not None and name in found:
            found[name] = _hex(name, found[name], digits)
    if "mrenclave" not in found:
        raise Absent("there is no field MRENCLAVE", "Give the whole output of scone signer info.")
    computed = hashlib.sha256(bytes.fromhex(found["modulus"])).hexdigest() if "modulus" in found else None
    printed = found.get("mrsigner")
    if computed and printed and computed != printed:
        raise Unreadable("the MRSIGNER that is printed is not the hash of the modulus", "Give one printout.")
    return SignerInfo(
        mrenclave=found["mrenclave"],
        mrsigner=printed or computed,
        date=found.get("date"),
        product=found.get("product"),
        svn=found.get("svn"),
        attributes=found.get("attributes"),
        debug=_debug(found),
        fields=found,
    )


def _fields(text: str) -> dict[str, str]:
    found: dict[str, str] = {}
    current: str | None = None
    for raw in text.split("\n"):
        line = clean(raw.rstrip("\r")).rstrip()
        match = _LINE.fullmatch(line)
        name = _NAMES.get(re.sub(r"[^a-z0-9]", "", match[1].lower())) if match else None
        if match and name:
            value = match[2].strip().strip("\"'|>").strip()
            if found.setdefault(name, value) != value:
                raise Unreadable(
                    f"{name} is printed twice with different values", "Give one printout at a time."
                )
            current = name
        elif current and _FIELDS[current][1] and _MORE.fullmatch(line.strip()):
            found[current] += line.strip()
        else:
            current = None
    return found


def _hex(name: str, value: str, digits: int) -> str:
    text = re.sub(r"[\s:]", "", value.partition("(")[0]).lower().removeprefix("0x")
    if not re.fullmatch(f"[0-9a-f]{{{digits}}}", text):
        raise Unreadable(f"{name} is not {digits} hex digits: {shown(value)!r}", "Was the text cut?")
    return text


def _debug(found: Mapping[str, str]) -> bool | None:
    """DEBUG as it is spelled out, which must agree with the attributes' bit 1."""
    bit = bool(int(found["attributes"][:2], 16) & 2) if "attributes" in found else None
    if "debug" not in found:
        return bit
    said = _YES.get(found["debug"].lower())
    if said is None:
        raise Unreadable(f"debug is neither yes nor no: {shown(found['debug'])!r}")
    if bit is not None and bit != said:
        raise Unreadable("debug and the attributes do not agree", "Give one printout at a time.")
    return said


def shown(value: str) -> str:
    """The beginning of a value, for a message."""
    return value if len(value) <= 40 else value[:40] + "…"
