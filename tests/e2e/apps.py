"""Apps that are not in the repository's samples: what a user might bring."""

from __future__ import annotations

import hashlib
import hmac
import json
from pathlib import Path

LEDGER = '''\
"""Adds up a ledger; its first argument says how to behave."""
import hashlib
import hmac
import json
import os
import sys
import time
from pathlib import Path

import inflection

from rules import rounding

OUT = Path(os.environ["IEXEC_OUT"])
mode, *words = sys.argv[1:] or ["report"]
data = b""
if os.environ.get("IEXEC_DATASET_FILENAME", "").strip("0x"):
    data = (Path(os.environ["IEXEC_IN"]) / os.environ["IEXEC_DATASET_FILENAME"]).read_bytes()
names = ["IEXEC_APP_DEVELOPER_SECRET"] + ["IEXEC_REQUESTER_SECRET_%d" % number for number in (1, 2, 3)]
key = "/".join(os.environ.get(name, "") for name in names).encode()

if mode == "crash":
    print("opening the ledger", flush=True)
    print("the ledger is torn \\x1b[31mhere", file=sys.stderr)
    sys.exit(7)
if mode == "silent":
    sys.exit(0)
if mode == "wait":
    print("waiting", flush=True)
    time.sleep(float(words[0]))

inputs = []
for number in range(1, int(os.environ.get("IEXEC_INPUT_FILES_NUMBER") or 0) + 1):
    path = Path(os.environ["IEXEC_INPUT_FILES_FOLDER"]) / os.environ["IEXEC_INPUT_FILE_NAME_%d" % number]
    inputs.append(hashlib.sha256(path.read_bytes()).hexdigest())
rows = [line.split(",") for line in data.decode().splitlines()[1:]]
report = {
    "title": inflection.titleize(" ".join(words)),
    "total": rounding.cents(sum(float(row[1]) for row in rows)),
    "seal": hmac.new(key, data, hashlib.sha256).hexdigest(),
    "inputs": inputs,
}
name = "report.json" if mode != "long" else "r" * 27 + ".json"
(OUT / "pages").mkdir()
(OUT / "pages" / "one.txt").write_text("page one\\n")
(OUT / name).write_text(json.dumps(report, sort_keys=True))
(OUT / "computed.json").write_text(json.dumps({"deterministic-output-path": str(OUT / name)}))
if mode == "hold":
    time.sleep(1)
print("the report has", len(report), "parts")
'''
ROUNDING = "def cents(amount):\n    return round(amount * 100)\n"


def ledger(folder: Path) -> Path:
    """A Python app with a package of its own and a dependency from PyPI, in `folder`/ledger."""
    place = folder / "ledger"
    (place / "rules").mkdir(parents=True)
    (place / "rules" / "__init__.py").write_text("")
    (place / "rules" / "rounding.py").write_text(ROUNDING)
    (place / "main.py").write_text(LEDGER)
    (place / "requirements.txt").write_text("inflection==0.5.1\n")
    return place


def seal(data: bytes, developer: str, *requester: str) -> str:
    """What the ledger's seal must be."""
    words = [developer, *requester, "", "", ""][:4]
    return hmac.new("/".join(words).encode(), data, hashlib.sha256).hexdigest()


NODE = """\
const fs = require("fs");
const path = require("path");
const chunk = require("lodash.chunk");
const out = process.env.IEXEC_OUT;
const letters = process.argv.slice(2).join(" ");
const dataset = process.env.IEXEC_DATASET_FILENAME;
const file = path.join(out, "chunks.json");
fs.writeFileSync(file, JSON.stringify({ dataset, chunks: chunk(letters.split(""), 3).map((part) => part.join("")) }));
fs.writeFileSync(path.join(out, "computed.json"), JSON.stringify({ "deterministic-output-path": file }));
"""
LODASH = "sha512-ZzydJKfUHJwHa+hF5X66zLFCBrWn5GeF28OHEr4WVWtNDXlQ/IjWKPBiikqKo2ne0+v6JgCgJ0GzJp8k8bHC7w=="


def chunks(folder: Path) -> Path:
    """A Node app with a dependency from npm, locked by its hash, in `folder`/chunks."""
    place = folder / "chunks"
    place.mkdir(parents=True)
    (place / "index.js").write_text(NODE)
    wanted = {"lodash.chunk": "4.2.0"}
    about = {"name": "chunks", "version": "1.0.0", "main": "index.js", "dependencies": wanted}
    (place / "package.json").write_text(json.dumps(about))
    lock = {
        "name": "chunks", "version": "1.0.0", "lockfileVersion": 3, "requires": True,
        "packages": {
            "": {"name": "chunks", "version": "1.0.0", "dependencies": wanted},
            "node_modules/lodash.chunk": {"version": "4.2.0", "integrity": LODASH, "license": "MIT"},
        },
    }  # fmt: skip
    (place / "package-lock.json").write_text(json.dumps(lock))
    return place
