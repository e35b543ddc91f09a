"""A first confidential task: average salaries, without anyone seeing a single one.

What iExec gives to a task is in environment variables and in the folder IEXEC_IN; what a task gives back are the
files in IEXEC_OUT. Inside the enclave the files are plain text; outside they never are.

Python 3.6 or later, so that it runs on the old curated images too.
"""

import csv
import io
import json
import os
import re
import sys
from pathlib import Path

from tabulate import tabulate  # from requirements.txt: dependencies work as they do everywhere

INPUT = Path(os.environ.get("IEXEC_IN", "/iexec_in"))
OUTPUT = Path(os.environ.get("IEXEC_OUT", "/iexec_out"))
RESULT = "report.txt"  # file names in a result have at most 31 characters


def main():
    """Read what the task was given, write the report, and say which file is the result."""
    title = " ".join(sys.argv[1:]) or "Hello from the enclave"
    parts = [title, "=" * len(title), ""]
    for name in dataset_names():
        parts += [*dataset_report(name), ""]
    parts += input_report()
    parts += ["", *secret_report()]

    OUTPUT.mkdir(parents=True, exist_ok=True)
    result = OUTPUT / RESULT
    result.write_text("\n".join(parts) + "\n", encoding="utf-8")

    # Without this file the task fails. The path goes into the hash that the workers agree on, so a result that
    # differs from run to run (a time, a random number) has no place in it.
    computed = {"deterministic-output-path": str(result)}
    (OUTPUT / "computed.json").write_text(json.dumps(computed), encoding="utf-8")

    # What an app prints can be read by the worker and the workerpool: never print data.
    print(f"wrote {RESULT} with {len(parts)} lines")


def dataset_names():
    """File names of the dataset, or of all that a task of bulk processing has; one that is empty without any."""
    count = int(os.environ.get("IEXEC_BULK_SLICE_SIZE") or 0)
    names = [os.environ.get("IEXEC_DATASET_FILENAME", "")]
    names += [os.environ[f"IEXEC_DATASET_{number}_FILENAME"] for number in range(1, count + 1)]
    none = ("", "0x" + 40 * "0")  # without a dataset iExec names the zero address
    return [name for name in names if name not in none] or [""]


def dataset_report(name):
    """A table from a dataset: averages, or its size when it is no such table."""
    if not name:
        return ["No dataset was given."]
    text = (INPUT / name).read_bytes().decode("utf-8", "replace")
    rows = list(csv.reader(io.StringIO(text)))
    averages = average_by_group(rows)
    if averages is None:
        return [f"Dataset: {len(text.splitlines())} lines, {len(text)} characters."]
    group, value = rows[0][-2], rows[0][-1]
    return [tabulate(averages, headers=[group, "people", f"average {value}"], tablefmt="simple")]


def average_by_group(rows):
    """[group, count, average] by the last column but one; None unless the last column holds numbers."""
    if len(rows) < 2 or len(rows[0]) < 2:
        return None
    groups = {}
    for row in rows[1:]:
        if len(row) != len(rows[0]) or not re.match(r"-?[0-9]+(\.[0-9]+)?$", row[-1].strip()):
            return None
        groups.setdefault(row[-2], []).append(float(row[-1]))
    return [[name, len(found), sum(found) / len(found)] for name, found in sorted(groups.items())]


def input_report():
    """The input files: public ones, that the requester named by their URLs."""
    count = int(os.environ.get("IEXEC_INPUT_FILES_NUMBER") or 0)
    folder = Path(os.environ.get("IEXEC_INPUT_FILES_FOLDER") or INPUT)
    lines = [f"Input files: {count}"]
    for number in range(1, count + 1):
        path = folder / os.environ[f"IEXEC_INPUT_FILE_NAME_{number}"]
        lines.append(f"  {number}: {path.stat().st_size} bytes")
    return lines


def secret_report():
    """Which secrets there are. Their values stay in the enclave: a result is no place for them either."""
    known = ["the app developer's"] if os.environ.get("IEXEC_APP_DEVELOPER_SECRET") else []
    for name in sorted(os.environ):
        if name.startswith("IEXEC_REQUESTER_SECRET_") and os.environ[name]:
            known.append("the requester's number {}".format(name.rsplit("_", 1)[1]))
    return ["Secrets: {}".format(", ".join(known) or "none")]


if __name__ == "__main__":
    main()
