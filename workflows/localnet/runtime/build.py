"""The zipapp that becomes /usr/local/bin/scone in a stand-in base image. Not part of it."""

from __future__ import annotations

import io
import zipfile
from pathlib import Path

_PACKAGES = Path(__file__).parents[2]
_SHARED = ("sgx/enclave.py",)
_MAIN = """import os
import sys

from workflows.localnet.runtime.entry import main
from workflows.localnet.runtime.places import Places

sys.exit(main(sys.argv, os.environ, Places(os.path.realpath(sys.path[0]))))
"""


def zipapp(interpreter: str = "/usr/bin/python3") -> bytes:
    """The runtime's bytes: the same for the same sources, wherever and with whichever Python it is built.

    `interpreter` is the real one of the base: the launcher itself must not be started by the launcher.
    """
    files = {"__main__.py": _MAIN.encode()}
    for package in ("", "sgx/", "localnet/"):
        files[f"workflows/{package}__init__.py"] = b""
    for name in (
        *_SHARED,
        *sorted(f"localnet/runtime/{path.name}" for path in Path(__file__).parent.glob("*.py")),
    ):
        if not name.endswith("/build.py"):
            files[f"workflows/{name}"] = (_PACKAGES / name).read_bytes()
    output = io.BytesIO()
    # -I: no environment, no user site; -S: no site-packages of the app; -B: nothing written into its image
    output.write(f"#!{interpreter} -ISB\n".encode())
    with zipfile.ZipFile(output, "w", zipfile.ZIP_STORED) as archive:  # compressors differ between machines
        for name, content in sorted(files.items()):
            member = zipfile.ZipInfo(name)
            member.create_system = 3
            member.external_attr = 0o644 << 16
            archive.writestr(member, content)
    return output.getvalue()
