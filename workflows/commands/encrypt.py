"""The command `encrypt`."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from workflows.core.command import Argument, Command, Emit, Result
from workflows.core.events import Progress
from workflows.core.failure import Missing
from workflows.core.files import unused

ENCRYPTED, KEY = ".enc", ".key"  # the endings of a file's names by default


class Encrypt(Command):
    """Encrypt a file as a dataset: AES-256-CBC, the IV in front, as the iexec SDK does."""

    name = "encrypt"
    arguments = (
        Argument("file", "any one file", metavar="FILE"),
        Argument(
            "--output",
            "the encrypted file, a new one; FILE.enc otherwise, or a free name like it",
            metavar="F",
        ),
        Argument(
            "--key-file", "the key, made unless it exists, never overwritten; FILE.key otherwise", metavar="K"
        ),
    )

    def run(self, options: Mapping[str, Any], emit: Emit) -> Result:
        from workflows.iexec import dataset
        from workflows.iexec.streams import reading

        (source,) = required(options, "file")
        with reading(source):  # a key is made only for what can be read, and written
            output = target(options, source, source.with_name(f"{source.name}{ENCRYPTED}"))
            key_file = given(options, "key_file") or source.with_name(f"{source.name}{KEY}")
            if key_file.resolve() == output.resolve():
                raise Missing(
                    f"{output} cannot be the key and the encrypted file",
                    "give another --output or --key-file",
                )
            _writable(output.parent)
            existed = key_file.exists()
        made = dataset.encrypt(
            source,
            output,
            dataset.ensure_key(key_file),
            progress=lambda done, total: emit(Progress(task="encrypt", done=done, total=total)),
        )
        return Result(
            {
                "file": str(source),
                "output": str(output),
                "key_file": str(key_file),
                "key_made": not existed,
                "checksum": made.checksum,
                "size": made.size,
            }
        )

    def lines(self, document: Mapping[str, Any]) -> Iterable[str]:
        how = "made now: keep it" if document["key_made"] else "used"
        yield f"encrypted  {document['output']}"
        yield f"checksum   {document['checksum']}"
        yield f"key        {document['key_file']} ({how})"


def given(options: Mapping[str, Any], name: str) -> Path | None:
    """The path of an option; None when it is not given."""
    return Path(str(options[name])).expanduser() if options.get(name) else None


def target(options: Mapping[str, Any], source: Path, otherwise: Path) -> Path:
    """Where to write: a name that nothing has. Missing says what is in the way."""
    output = given(options, "output") or unused(otherwise)
    if source.exists() and output.exists() and output.samefile(source):
        raise Missing(f"{output} is the input file", "choose another --output", name="exists")
    if os.path.lexists(output):
        hint = "give another --output, or move it away; without --output a name is taken that nothing has"
        raise Missing(f"{output} is there already", hint, name="exists")
    return output


def _writable(folder: Path) -> None:
    if not folder.is_dir():
        raise Missing(f"there is no folder {folder}", "make it first, or give another --output")
    if not os.access(folder, os.W_OK | os.X_OK):
        raise Missing(f"nothing can be written into {folder}", "give another --output, or see to its mode")


def required(options: Mapping[str, Any], *names: str) -> list[Path]:
    """The paths of options that must be given; Missing names the flag."""
    paths = []
    for name in names:
        if (path := given(options, name)) is None:
            raise Missing(f"--{name.replace('_', '-')} is needed", "see --help", name="usage")
        paths.append(path)
    return paths
