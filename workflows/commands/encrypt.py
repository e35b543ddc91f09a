"""The command `encrypt`."""

from __future__ import annotations

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
        Argument("--output", "the encrypted file; FILE.enc otherwise, or a free name like it", metavar="F"),
        Argument(
            "--key-file", "the key, made unless it exists, never overwritten; FILE.key otherwise", metavar="K"
        ),
    )

    def run(self, options: Mapping[str, Any], emit: Emit) -> Result:
        from workflows.iexec import dataset
        from workflows.iexec.streams import reading

        (source,) = required(options, "file")
        with reading(source):  # a key is made only for what can be read
            output = given(options, "output") or unused(source.with_name(f"{source.name}{ENCRYPTED}"))
            key_file = given(options, "key_file") or source.with_name(f"{source.name}{KEY}")
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


def required(options: Mapping[str, Any], *names: str) -> list[Path]:
    """The paths of options that must be given; Missing names the flag."""
    paths = []
    for name in names:
        if (path := given(options, name)) is None:
            raise Missing(f"--{name.replace('_', '-')} is needed", "see --help", name="usage")
        paths.append(path)
    return paths
