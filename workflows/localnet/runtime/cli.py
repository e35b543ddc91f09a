"""The `scone` command: its arguments, its help, its usage errors (exit 2)."""

import argparse
import re
from collections.abc import Sequence

from workflows.localnet.runtime import protect
from workflows.localnet.runtime.fspf import AUTHENTICATED, ENCRYPTED, NOT_PROTECTED
from workflows.localnet.runtime.layout import VERSION

_NAME = f"SIMULATED SCONE {VERSION} (a stand-in: no SGX, no protection)"


def run(arguments: "Sequence[str]") -> str:
    """What the command prints. SystemExit 2 for wrong arguments; Refused when it cannot be done."""
    given = _parser().parse_args(list(arguments))
    if given.what == "create":
        return protect.create(given.file)
    if given.what == "addr":
        return protect.add_region(
            given.file,
            given.embedpoint,
            given.kernel or "",
            given.protection,
            given.key_length,
            given.chunk_length,
        )
    if given.what == "addf":
        return protect.add_files(given.file, given.embedpoint, given.source_dir, given.output_dir or "")
    if given.what == "encrypt":
        return protect.encrypt(given.file)
    return protect.show(given.file, given.key or "", given.tag)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser("scone", description=_NAME, allow_abbrev=False)
    parser.add_argument("--version", "-V", action="version", version=_NAME)
    groups = _choices(parser, "COMMAND")
    what = _choices(
        groups.add_parser("fspf", help="make and change file system protection files"), "SUBCOMMAND", "what"
    )

    create = what.add_parser("create", help="an empty file system protection file", allow_abbrev=False)
    create.add_argument("file", metavar="FILE")
    create.add_argument("version", metavar="VERSION", nargs="?", help="accepted and not used")

    addr = what.add_parser("addr", help="add a region", allow_abbrev=False)
    addr.add_argument("file", metavar="FILE")
    addr.add_argument("embedpoint", metavar="EMBEDPOINT")
    kind = addr.add_mutually_exclusive_group(required=True)
    for short, protection in (("-n", NOT_PROTECTED), ("-e", ENCRYPTED), ("-a", AUTHENTICATED)):
        kind.add_argument(short, "--" + protection, dest="protection", action="store_const", const=protection)
    place = addr.add_mutually_exclusive_group(required=True)
    place.add_argument("--kernel", metavar="SOURCE_DIR", help="the folder on disk")
    place.add_argument("--ephemeral", action="store_true", help="in memory, lost at exit")
    addr.add_argument(
        "-c", "--chunk-length", metavar="BYTES", type=_chunk, default=4096, help="recorded only"
    )
    addr.add_argument(
        "-k", "--key-length", metavar="N", type=_key_length, default=32, help="16, 24 or 32 bytes"
    )

    addf = what.add_parser("addf", help="add the files of a folder to a region", allow_abbrev=False)
    for name in ("FILE", "EMBEDPOINT", "SOURCE_DIR"):
        addf.add_argument(name.lower(), metavar=name)
    addf.add_argument("output_dir", metavar="OUTPUT_DIR", nargs="?", help="required for encrypted regions")

    encrypt = what.add_parser(
        "encrypt", help="encrypt it with a new key, print tag and key", allow_abbrev=False
    )
    encrypt.add_argument("file", metavar="FILE")

    show = what.add_parser("show", help="print its regions and files, or its tag", allow_abbrev=False)
    show.add_argument("-t", "--tag", action="store_true", help="only the tag")
    show.add_argument("file", metavar="FILE")
    show.add_argument("key", metavar="KEY", nargs="?", type=_key, help="64 hex digits, once it is encrypted")
    return parser


def _choices(
    parser: argparse.ArgumentParser, name: str, dest: str = "group"
) -> "argparse._SubParsersAction[argparse.ArgumentParser]":
    choices = parser.add_subparsers(metavar=name, dest=dest)
    choices.required = True
    return choices


def _chunk(text: str) -> int:
    if not re.fullmatch("[0-9]{1,9}", text) or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number of bytes")
    return int(text)


def _key_length(text: str) -> int:
    """Bytes; bits too, because SCONE's guide and its help disagree."""
    lengths = {"16": 16, "24": 24, "32": 32, "128": 16, "192": 24, "256": 32}
    if text not in lengths:
        raise argparse.ArgumentTypeError(f"{text!r} is not a key length: 16, 24 or 32 bytes")
    return lengths[text]


def _key(text: str) -> str:
    if not re.fullmatch("[0-9a-fA-F]{64}", text):
        raise argparse.ArgumentTypeError("a key has 64 hex digits")
    return text
