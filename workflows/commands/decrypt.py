"""The command `decrypt`."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from workflows.commands.encrypt import ENCRYPTED, KEY, given, required, target
from workflows.core.command import Argument, Command, Emit, Result
from workflows.core.events import Progress
from workflows.core.failure import Missing
from workflows.core.text import clean

# What `encrypt` puts before the ending when the name is taken; the key has none.
_COUNT = re.compile(r"-\d+$")


class Decrypt(Command):
    """Decrypt a dataset or a result archive, told apart by content."""

    name = "decrypt"
    arguments = (
        Argument("file", "an encrypted dataset, or a result as it was downloaded", metavar="FILE"),
        Argument(
            "--output",
            "the plain file, or a new folder for an archive; FILE without its ending otherwise",
            metavar="F",
        ),
        Argument(
            "--key-file",
            "the dataset's key, FILE.key beside it otherwise; or the private key of the result",
            metavar="K",
        ),
        Argument("--passphrase-file", "where the private key's passphrase is", metavar="P"),
        Argument("--checksum", "the dataset's checksum on the chain, compared first", metavar="0xHEX"),
    )

    def run(self, options: Mapping[str, Any], emit: Emit) -> Result:
        from workflows.iexec import results
        from workflows.iexec.streams import reading

        (source,) = required(options, "file")
        with reading(source):  # told before what else is missing
            output = target(options, source, _plain(source))

        def progress(done: int, total: int | None) -> None:
            emit(Progress(task="decrypt", done=done, total=total))

        if results.kind(source) is None:
            return self._dataset(options, source, output, progress)
        key = None
        if results.kind(source) != "plain":
            key = _private_key(options, source)
        opened = results.extract(source, output, key, progress=progress)
        return Result(
            {
                "kind": f"result {opened.kind}",
                "output": str(opened.folder),
                "files": list(opened.files),
                "size": opened.size,
                "warnings": list(opened.warnings),
            }
        )

    @staticmethod
    def _dataset(options: Mapping[str, Any], source: Path, output: Path, progress: Any) -> Result:
        from workflows.iexec import dataset

        beside = _key(_plain(source))
        key_file = given(options, "key_file") or beside
        if key_file == beside and not beside.is_file():
            raise Missing(
                f"--key-file is needed: the key that {source} was encrypted with",
                f"beside it there is no {beside.name}; creamtea run keeps keys in .creamtea/keys",
                name="usage",
            )
        opened = dataset.decrypt(
            source, output, dataset.read_key(key_file), options["checksum"], progress=progress
        )
        return Result(
            {
                "kind": f"dataset {opened.form}",
                "output": str(output),
                "files": [output.name],
                "size": opened.size,
                "warnings": list(opened.warnings),
            }
        )

    def lines(self, document: Mapping[str, Any]) -> Iterable[str]:
        yield f"{document['kind']} decrypted into {document['output']}"
        yield from (f"  {name}" for name in document["files"])
        yield from (f"! {warning}" for warning in document["warnings"])


def _plain(source: Path) -> Path:
    """The name that an encrypted file or an archive has without its ending."""
    ends = source.suffix in (ENCRYPTED, ".zip") and source.stem
    plain = source.with_suffix("") if ends else source.with_name(f"{source.name}.plain")
    first = plain.with_name(_COUNT.sub("", plain.name) or plain.name)
    return first if _key(first).is_file() and not _key(plain).is_file() else plain


def _key(plain: Path) -> Path:
    return plain.with_name(f"{plain.name}{KEY}")


def _private_key(options: Mapping[str, Any], source: Path) -> Any:
    from workflows.iexec import keys
    from workflows.iexec.wallet import read_password
    from workflows.localnet import client

    key_file = given(options, "key_file")
    if key_file is None:
        found = [_named(path) for path in _pairs(source)]
        here = f"--key-file {found[0]}" if len(found) == 1 else f"one of {', '.join(found)}" if found else ""
        raise Missing(
            "--key-file is needed: this result is encrypted, and opens with its beneficiary's private key",
            f"found here: {here}"
            if here
            else "the iexec client keeps it as .secrets/beneficiary/0x…_key, "
            f"creamtea for the localnet in {client.default_state() / 'beneficiary'}",
            name="usage",
        )
    passphrase = None
    if options["passphrase_file"]:
        passphrase = read_password(Path(options["passphrase_file"]))
    elif keys.is_protected(key_file):
        import getpass
        import sys

        if not sys.stdin.isatty():
            raise Missing("the private key needs its passphrase", "give --passphrase-file P", name="missing")
        passphrase = getpass.getpass(f"passphrase of {key_file}: ")
    return keys.load_private(key_file, passphrase)


def _pairs(source: Path) -> list[Path]:
    """Private keys of results where the iexec client keeps them: here, or beside the archive."""
    from workflows.iexec import sdk

    folders = {folder.resolve(): folder / sdk.RESULT_KEYS for folder in (source.parent, Path())}
    return [path for folder in folders.values() for path in sorted(folder.glob("0x*_key"))]


def _named(path: Path) -> str:
    """A path as a person types it into a shell."""
    return shlex.quote(clean(str(path)))
