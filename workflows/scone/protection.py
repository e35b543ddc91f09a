"""The step of a build that takes the fingerprint, and reading its parts back from the image.

The shell of the step runs on busybox and dash, with no command but SCONE's own. It leaves in `/build`:

    keytag       the line of `scone fspf encrypt`: tag and key
    mrenclave    what SCONE_HASH=1 printed
    entrypoint   the command the fingerprint stands for
    heap         SCONE_HEAP as it was when the MRENCLAVE was taken
    regions      one `kind path` a line
    fingerprint  FSPF_KEY|FSPF_TAG|MRENCLAVE|ENTRYPOINT, as protect-fs.sh left it
"""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from workflows.core.failure import Failed
from workflows.scone import fingerprint as forms
from workflows.scone import heap as sizes
from workflows.scone import printouts
from workflows.scone.fingerprint import Fingerprint
from workflows.scone.regions import KINDS, SYSTEM, Kind, Region

FOLDER = "/build"
FSPF = "/fspf.pb"
PLAIN, SEALED = "/plain", "/sealed"
PARTS = ("keytag", "mrenclave", "entrypoint", "heap", "regions", "fingerprint")


def step(regions: Sequence[Region], command: str, *, sealed: bool = False) -> str:
    """The RUN instruction. regions: the app's, parents first. command: the ENTRYPOINT's words, joined.

    sealed: encrypted folders are taken from /plain and written to /sealed.
    """
    interpreter = shlex.quote(command.split()[0])
    system = f'for folder in {" ".join(SYSTEM)}; do if [ -d "$folder" ]; then'
    own = [region for region in regions if region.path not in SYSTEM]
    lines = [
        "set -eu; export SCONE_MODE=sim",
        f"mkdir -p {FOLDER}; cd {FOLDER}; : > regions",
        f"scone fspf create {FSPF}",
        *_declare("/", "not-protected"),
        system,
        *(f"  {line}" for line in _declare('"$folder"', "authenticated")),
        "fi; done",
        *(line for region in own for line in _declare(shlex.quote(region.path), region.kind)),
        system,
        f'  scone fspf addf {FSPF} "$folder" "$folder"',
        "fi; done",
    ]
    for region in own:
        path = shlex.quote(region.path)
        if region.kind == "authenticated":
            lines.append(f"scone fspf addf {FSPF} {path} {path}")
        elif region.kind == "encrypted":
            lines += [
                f"mkdir -p {SEALED}{path}",
                f"scone fspf addf {FSPF} {path} {PLAIN}{path} {SEALED}{path}",
            ]
    lines += [
        f"scone fspf encrypt {FSPF} > keytag",
        f"SCONE_HASH=1 {interpreter} > mrenclave < /dev/null",
        "grep -Eqx '[0-9a-f]{64}' mrenclave "
        f"|| {{ echo {interpreter} 'is not SCONE: it gave no MRENCLAVE' >&2; exit 1; }}",
        f"printf '%s\\n' {shlex.quote(command)} > entrypoint",
        'echo "$SCONE_HEAP" > heap',
        "key_tag=$(sed -n 's/.*AES-GCM tag: \\([0-9a-f]*\\) key: \\([0-9a-f]*\\)$/\\2|\\1/p' keytag)",
        'echo "$key_tag|$(cat mrenclave)|$(cat entrypoint)" > fingerprint',
        "cat fingerprint",
    ]
    body = " \\\n    ".join(line if line.endswith(" then") else f"{line};" for line in lines)
    return (
        "# Last of all, the fingerprint: the folders that the enclave checks, and the tag of their state.\n"
        "# Of /etc only /etc/ssl: the engine rewrites /etc/hosts, and the enclave would not start.\n"
        "# Nothing may be added or changed after this step.\n"
        f"RUN {body.removesuffix(';')}"
    )


def _declare(path: str, kind: Kind) -> list[str]:
    return [f"scone fspf addr {FSPF} {path} --{kind} --kernel {path}", f"echo {kind} {path} >> regions"]


@dataclass(frozen=True)
class Taken:
    """What an image says about its fingerprint. regions: path → kind, empty when it does not say."""

    fingerprint: Fingerprint
    regions: Mapping[str, Kind]


def told(path: str, kind: Kind, regions: Mapping[str, Kind]) -> str:
    """A region's kind with the reason, where it may frighten: `/` is open in every sound app."""
    own = [one for one, other in regions.items() if other != "not-protected" and one not in SYSTEM]
    if path != "/" or kind != "not-protected" or not own:
        return kind
    return (
        f"{kind}, as it has to be: the engine rewrites files such as /etc/hosts at start; "
        f"your app in {', '.join(own)} is protected"
    )


def read(files: Mapping[str, bytes]) -> Taken:
    """The fingerprint from an image's `/build` (file name → content).

    `fingerprint` alone is enough, so images that iExec's protect-fs.sh made can be read; what else is there
    must agree with it. Failed (`no_fingerprint`) names what is missing or differs.
    """
    texts = {name: files[name].decode("utf-8", "replace").strip() for name in PARTS if name in files}
    if "fingerprint" not in texts:
        raise Failed(
            "the image holds no fingerprint: /build/fingerprint is not there",
            "Its Dockerfile protects no files; creamtea run onboard --from dockerfile adds the step.",
            name="no_fingerprint",
        )
    whole = forms.parse(texts["fingerprint"])
    if whole.fspf_key is None:
        raise _differs("fingerprint", "it is not in the form that protect-fs.sh writes")
    if "keytag" in texts and printouts.keytag(texts["keytag"]) != (whole.fspf_key, whole.fspf_tag):
        raise _differs("keytag", "key and tag are others than in the fingerprint")
    if "mrenclave" in texts and printouts.enclave_hash(texts["mrenclave"]) != whole.mrenclave:
        raise _differs("mrenclave", "it is another than in the fingerprint")
    if "entrypoint" in texts and whole.entrypoint is not None and texts["entrypoint"] != whole.entrypoint:
        raise _differs("entrypoint", "it is another than in the fingerprint")
    size = sizes.parse(texts["heap"]) if "heap" in texts else None
    return Taken(replace(whole, heap=size), _regions(texts.get("regions", "")))


def _regions(text: str) -> dict[str, Kind]:
    found: dict[str, Kind] = {}
    for line in text.splitlines():
        kind, _, path = line.partition(" ")
        known = next((name for name in KINDS if name == kind), None)
        if known is None or not path.startswith("/"):
            raise _differs("regions", "a line is not `kind path`")
        found[path] = known
    return found


def _differs(name: str, why: str) -> Failed:
    return Failed(
        f"/build/{name} in the image cannot be right: {why}",
        "Something was changed after the fingerprint was taken: build the image again.",
        name="no_fingerprint",
    )
