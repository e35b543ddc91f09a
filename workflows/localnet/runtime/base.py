"""What a stand-in base image is: which interpreters it has, and which files make their enclaves."""

import json
import os
from collections.abc import Mapping

from workflows.localnet.runtime.places import Places
from workflows.localnet.runtime.refusals import BadBase


def interpreter_name(path: str) -> str:
    """The name in base.json for a program: python3 for every spelling of Python 3, node for nodejs."""
    name = os.path.basename(path)
    version = name[len("python") :] or "3"
    if name.startswith("python") and version[0] == "3" and version.replace(".", "").isdigit():
        return "python3"
    return "node" if name == "nodejs" else name


class Base:
    """What /etc/scone-simulated/base.json says about the interpreter that is meant by a path."""

    def __init__(self, path: str, places: Places) -> None:
        self._archive = places.archive
        file = os.path.join(places.settings, "base.json")
        try:
            with open(file, "rb") as handle:
                self._interpreters = json.loads(handle.read().decode())["interpreters"]
            self.name = interpreter_name(path)
            entry = self._interpreters[self.name]
            self.executable = entry["path"]  # type: str
            self._libraries = sorted(entry["libraries"])
        except (OSError, ValueError, LookupError, TypeError):
            known = ", ".join(getattr(self, "_interpreters", ()))
            raise BadBase(
                f"{file} names no interpreter for {path}" + (f", only {known}" if known else "")
            ) from None

    def mrenclave(self, env: "Mapping[str, str]") -> str:
        """What LAS measures of a container with this environment, 64 hex digits."""
        from workflows.localnet.runtime.layout import measure, settings_from_env

        parts = []
        for path in [self._archive, self.executable, *self._libraries]:
            try:
                with open(path, "rb") as handle:
                    parts.append(handle.read())
            except OSError as error:
                raise BadBase(f"{path} cannot be measured: {error.strerror}") from None
        return measure(settings_from_env(env), parts)
