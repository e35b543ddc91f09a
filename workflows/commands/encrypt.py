"""The command `encrypt`."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from workflows.core.command import Argument, Command, Emit, Result
from workflows.core.events import Progress
from workflows.core.failure import Missing


class Encrypt(Command):
    """Encrypt a file as a dataset: AES-256-CBC, the IV in front, as the iexec SDK does."""

    name = "encrypt"
    arguments = (
        Argument("file", "any one file", metavar="FILE"),
        Argument("--output", "the encrypted file", metavar="F"),
        Argument("--key-file", "the key, made unless it exists, never overwritten", metavar="K"),
    )

    def run(self, options: Mapping[str, Any], emit: Emit) -> Result:
        from workflows.iexec import dataset
        from workflows.iexec.streams import reading

        (source,) = required(options, "file")
        with reading(source):  # told before what else is missing, and a key is made only for what can be read
            output, key_file = required(options, "output", "key_file")
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


def required(options: Mapping[str, Any], *names: str) -> list[Path]:
    """The paths of options that must be given; Missing names the flag."""
    paths = []
    for name in names:
        if not options.get(name):
            raise Missing(f"--{name.replace('_', '-')} is needed", "see --help", name="usage")
        paths.append(Path(str(options[name])).expanduser())
    return paths
