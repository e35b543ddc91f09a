"""What is measured, compared: each cause one sentence with its evidence (old → new) in two records."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

from workflows.core.text import clean, plural, shorten
from workflows.scone import changes
from workflows.scone import heap as sizes
from workflows.scone.changes import Change, some
from workflows.scone.record import Area, Record
from workflows.sgx.enclave import PAGE

Part = Literal["fspf_key", "fspf_tag", "mrenclave"]
_MOST_FILES = 5  # app files with a sentence of their own

# SCONE_* that are measured (the others tune what is outside of the enclave), and how a person calls them.
MEASURED = {
    "SCONE_HEAP": "heap", "SCONE_MIN_HEAP": "smallest heap", "SCONE_STACK": "stack", "SCONE_TCS": "threads",
    "SCONE_ALLOW_DLOPEN": "dlopen", "SCONE_FORK": "fork", "SCONE_MPROTECT": "mprotect",
    "SCONE_SYSLIBS": "system libraries", "SCONE_EXTENSIONS_PATH": "runtime extensions",
    "SCONE_EDMM_MODE": "EDMM",
}  # fmt: skip
_SIZES = ("SCONE_HEAP", "SCONE_MIN_HEAP", "SCONE_STACK")


@dataclass(frozen=True)
class Cause:
    """One sentence, what proves it, the file it is about if it is about one.

    part: the part of the fingerprint that it changes; None when it changes none by itself. Records come from
    anywhere, so both texts are cleaned; `path` is as it is.
    """

    sentence: str
    evidence: str
    path: str | None = None
    part: Part | None = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "sentence", clean(self.sentence))
        object.__setattr__(self, "evidence", clean(self.evidence))


def settings(a: Record, b: Record) -> Iterator[Cause]:
    """Heap, stack and the like, from the runtime's own words or from what else says them."""
    old, new = values(a), values(b)
    whole = tells_all(a, b)
    for name, word in MEASURED.items():
        if old.get(name) != new.get(name) and (whole or (name in old and name in new)):
            raw = [clean(found.get(name, "not set")) for found in (old, new)]
            shown = [value(name, text) for text in raw]
            yield Cause(f"{word} {shown[0]} → {shown[1]}", f"{name} {raw[0]} → {raw[1]}", None, "mrenclave")


def tells_all(a: Record, b: Record) -> bool:
    """Whether a SCONE_* value that one side lacks is not set there: else its runtime may just not print it."""
    if a.settings is None or b.settings is None or (a.files is None) != (b.files is None):
        return False
    return (a.runtime and a.runtime.scone) == (b.runtime and b.runtime.scone)


def values(record: Record) -> dict[str, str]:
    """The measured SCONE_* values that a record knows, as text."""
    found = {name: text for name, text in (record.settings or {}).items() if name in MEASURED}
    known = {
        "SCONE_HEAP": record.fingerprint.heap, "SCONE_STACK": record.stack, "SCONE_TCS": record.threads,
        "SCONE_ALLOW_DLOPEN": record.dlopen, "SCONE_FORK": record.fork,
    }  # fmt: skip
    return {name: str(value) for name, value in known.items() if value is not None} | found


def value(name: str, text: str) -> str:
    """A setting as a person reads it: `1 GiB`."""
    if name in _SIZES and text.isascii() and text.isdigit() and len(text) < 16:
        short = sizes.show(int(text))
        return f"{short[:-1]} {short[-1]}iB" if short[-1] in "KMG" else f"{short} bytes"
    return clean(text)


def base(a: Record, b: Record) -> Iterator[Cause]:
    """Another base image, or the same name with another content."""
    old, new = a.base, b.base
    if old is None or new is None:
        return
    before, after = old.digest or old.id, new.digest or new.id
    if old.reference != new.reference:
        evidence = f"FROM {clean(old.reference)} → {clean(new.reference)}"
        yield Cause(
            f"another base image: {evidence}", f"{digest(before)} → {digest(after)}", None, "mrenclave"
        )
    elif before and after and before != after:
        what = "the stand-in for" if new.stand_in else "the base tag"
        yield Cause(
            f"{what} {clean(new.reference)} moved from {digest(before)} to {digest(after)}",
            f"{clean(old.used)} {before} → {clean(new.used)} {after}",
            None,
            "mrenclave",
        )


def runtime(a: Record, b: Record) -> Iterator[Cause]:
    """SCONE and its libc, whether it is simulated, and the files that are measured with the interpreter."""
    if a.runtime is not None and b.runtime is not None:
        for name, word in (("scone", "SCONE"), ("libc", "libc"), ("revision", "SCONE's revision")):
            old, new = getattr(a.runtime, name), getattr(b.runtime, name)
            if old != new and old is not None and new is not None:
                yield _changed(f"{word} {clean(old)} → {clean(new)}", word, old, new, "mrenclave")
    if a.simulated is not None and b.simulated is not None and a.simulated != b.simulated:
        words = {True: "SIMULATED", False: "SCONE's own"}
        text = f"the runtime is {words[b.simulated]} instead of {words[a.simulated]}"
        yield _changed(text, "simulated", a.simulated, b.simulated, "mrenclave")
    first, second = a.interpreter, b.interpreter
    if first is None or second is None:
        return
    if first.path != second.path:
        text = f"the program in the enclave is {clean(second.path)} instead of {clean(first.path)}"
        yield _changed(text, "program", first.path, second.path, "mrenclave")
    for path in changes.inputs(first.files, second.files):
        before, after = first.files.get(path), second.files.get(path)
        how = (
            "is measured now"
            if before is None
            else "is not measured any more"
            if after is None
            else "is another file"
        )
        yield Cause(
            f"{clean(path)} {how}: it is a part of the interpreter",
            f"sha256 {digest(before)} → {digest(after)}",
            path,
            "mrenclave",
        )


def kinds(a: Record, b: Record) -> Iterator[Cause]:
    """An image with SCONE's runtime beside a signed enclave: whatever else differs follows from that."""
    first, second = a.layout is not None, b.layout is not None
    if first != second and (b if first else a).files is not None:
        signed, image = (a, b) if first else (b, a)
        yield Cause(
            f"{signed.name} is a signed enclave, {image.name} an image with SCONE's runtime: different programs",
            "one has a layout of its own, the other files around an interpreter",
            None,
            "mrenclave",
        )


def layout(a: Record, b: Record) -> Iterator[Cause]:
    """Signed enclaves: areas that came, went, grew, or hold another content. Heap and stack say it themselves."""
    if a.layout is None or b.layout is None:
        return
    found = []
    for name in [*a.layout, *(name for name in b.layout if name not in a.layout)]:
        old, new = a.layout.get(name), b.layout.get(name)
        if name.startswith("guard") or (name.startswith(("heap", "stack")) and old and new):
            continue
        if old is None or new is None:
            one = old or new
            how = "came" if old is None else "is gone"
            found.append(Cause(f"{name} {how}", _area(one) if one else "", None, "mrenclave"))
        elif (old.pages, old.access, old.measured) != (new.pages, new.access, new.measured):
            found.append(Cause(f"{name} changed: {_area(old)} → {_area(new)}", name, None, "mrenclave"))
        elif old.content != new.content and (new.access != "TCS" or old.offset == new.offset):
            pages = [
                place
                for place, both in enumerate(zip(old.content, new.content, strict=False))
                if both[0] != both[1]
            ]
            at = f"the first at {new.offset + pages[0] * PAGE:#x}" if pages else "as a whole"
            told = f"the content of {name} changed: {plural(len(pages) or new.pages, 'page')} of {new.pages:,}, {at}"
            found.append(Cause(told, _area(new), None, "mrenclave"))
    yield from found[:_MOST_FILES]
    if rest := found[_MOST_FILES:]:
        yield Cause(
            f"{plural(len(rest), 'more area')} differ",
            some([one.sentence for one in rest]),
            None,
            "mrenclave",
        )


def _area(one: Area) -> str:
    return f"{plural(one.pages, 'page')} {one.access} {'measured' if one.measured else 'not measured'}"


def identity(a: Record, b: Record) -> Iterator[Cause]:
    """Signer, product, debugging and entrypoint: seen by policies and sessions, in no hash."""
    if a.signer != b.signer and a.signer and b.signer:
        text = "signed by another key: MRSIGNER is not part of MRENCLAVE, but a policy may ask for it"
        yield _changed(text, "MRSIGNER", a.signer, b.signer, None)
    if a.product != b.product and a.product and b.product:
        text = f"product and version {clean(a.product)} → {clean(b.product)}"
        yield _changed(text, "SIGSTRUCT", a.product, b.product, None)
    if a.debug != b.debug and a.debug is not None and b.debug is not None:
        text = "the enclave may be debugged now" if b.debug else "the enclave may not be debugged any more"
        yield _changed(text, "DEBUG", a.debug, b.debug, None)
    old, new = a.fingerprint.entrypoint, b.fingerprint.entrypoint
    if old is not None and new is not None and old != new:
        yield _changed(f"entrypoint {clean(old)} → {clean(new)}", "entrypoint", old, new, None)


def regions(a: Record, b: Record) -> Iterator[Cause]:
    """What the file shield covers, and how."""
    if a.regions is None or b.regions is None:
        return
    for path in sorted(a.regions.keys() | b.regions.keys()):
        old, new = a.regions.get(path), b.regions.get(path)
        if old == new:
            continue
        shown = [one.kind if one is not None else "no region" for one in (old, new)]
        roots = [clean(one.root) if one is not None else "nothing" for one in (old, new)]
        if shown[0] == shown[1]:
            yield Cause(
                f"region {clean(path)} leads to {roots[1]}", f"{roots[0]} → {roots[1]}", path, "fspf_tag"
            )
        else:
            evidence = f"{shown[0]} → {shown[1]}"
            yield Cause(f"region {clean(path)}: {evidence}", evidence, path, "fspf_tag")


def files(a: Record, b: Record, changed: Sequence[Change], *, equal_inputs: bool) -> Iterator[Cause]:
    """Files of the app one by one, those of the system together; the interpreter's are in `runtime`."""
    program = {path for record in (a, b) if record.interpreter for path in record.interpreter.files}
    left = [one for one in changed if one.path not in program]
    if equal_inputs and left:
        first = next((one for one in left if one.kind != "not-protected"), left[0])
        yield Cause(
            "same inputs, different files: the build is not reproducible, the first file that differs is "
            f"{clean(first.path)}",
            first.evidence,
            first.path,
            _decides(first),
        )
        left = [one for one in left if one is not first]
    own = [one for one in left if not one.system and one.region != "/"]
    yield from (_file(one) for one in own[:_MOST_FILES])
    yield from _together(own[_MOST_FILES:], "of the app")
    yield from _together([one for one in left if one.system], "of the base and its packages")
    yield from _together([one for one in left if one.region == "/"], "outside the protected folders")


def _together(found: Sequence[Change], what: str) -> Iterator[Cause]:
    if len(found) == 1:
        yield _file(found[0])
    elif found:
        yield Cause(
            f"{plural(len(found), 'file')} {what} differ: {some([one.path for one in found])}",
            "; ".join(f"{clean(one.path)} {one.evidence}" for one in found[:3]),
            found[0].path,
            _decides(found[0]),
        )


def _file(one: Change) -> Cause:
    where = f", line {one.lines[1]} first" if one.lines else ""
    return Cause(one.sentence(), one.evidence + where, one.path, _decides(one))


def _decides(one: Change) -> Part | None:
    return None if one.kind == "not-protected" else "fspf_tag"


def digest(value: str | None) -> str:
    """The beginning of a hash, for a sentence."""
    return "nothing" if value is None else shorten(clean(value).removeprefix("sha256:"), 12, 0)


def _changed(sentence: str, name: str, old: object, new: object, part: Part | None) -> Cause:
    return Cause(sentence, f"{name} {_or_none(old)} → {_or_none(new)}", None, part)


def _or_none(found: object) -> str:
    return "not known" if found is None else clean(str(found))
