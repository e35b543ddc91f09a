"""What a person may set: `config.toml` in the user's configuration folder, with a theme and other keys."""

from __future__ import annotations

import difflib
import re
import stat
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from platformdirs import user_config_path
from textual.keys import Keys, key_to_character
from textual.theme import BUILTIN_THEMES

from tui.actions import APP, SCREENS, all_actions
from workflows.core.failure import Missing
from workflows.core.files import read_toml, write_atomic

_NAMED = {key.value.rpartition("+")[2] for key in Keys}
_KEY = re.compile(r"(?:(?:ctrl|alt|shift|super)\+)*(\S|[a-z0-9_]{2,})")


@dataclass(frozen=True)
class Settings:
    """`theme` is the name of a built-in theme or empty; `keys` maps the ids of actions to keys."""

    theme: str = ""
    keys: Mapping[str, str] = field(default_factory=dict)


def path() -> Path:
    """Where the settings are: `creamtea/config.toml` in the user's configuration folder."""
    return user_config_path("creamtea") / "config.toml"


def load(file: Path | None = None) -> Settings:
    """The settings; the defaults when there is no file. Missing says what is wrong in it."""
    file = file or path()
    if not file.exists():
        return Settings()
    document = read_toml(file)
    for name in document:
        if name not in ("theme", "keys"):
            raise _wrong(file, f"there is no setting {name!r:.40}", "theme and [keys] are known")
    return Settings(_theme(file, document.get("theme", "")), _keys(file, document.get("keys", {})))


def keep_theme(name: str, file: Path | None = None) -> None:
    """Write the theme into the settings, the rest as it is. Missing or OSError when that cannot be done."""
    import tomlkit

    file = (file or path()).resolve()  # where a link of somebody's dotfiles leads
    load(file)
    there = file.exists()
    document = tomlkit.parse(file.read_text(encoding="utf-8") if there else "")
    if "theme" not in document and document:  # a value behind a table would be the table's
        document = tomlkit.parse(f"theme = {tomlkit.string(name).as_string()}\n" + tomlkit.dumps(document))
    document["theme"] = name
    file.parent.mkdir(parents=True, exist_ok=True)
    write_atomic(file, tomlkit.dumps(document), stat.S_IMODE(file.stat().st_mode) if there else 0o644)


def _theme(file: Path, value: Any) -> str:
    if value == "" or (isinstance(value, str) and value in BUILTIN_THEMES):
        return str(value)
    raise _wrong(file, f"there is no theme {value!r:.40}", f"one of {', '.join(BUILTIN_THEMES)}")


def _keys(file: Path, table: Any) -> dict[str, str]:
    if not isinstance(table, dict):
        raise _wrong(file, "keys is no table", 'write [keys] and below it, for example: cancel = "x"')
    known = {action.id: action.keys for action in all_actions()}
    chosen: dict[str, str] = {}
    for name, keys in table.items():
        if name not in known:
            near = difflib.get_close_matches(name, known, n=1)
            raise _wrong(
                file, f"there is no action {name!r:.40}", f"did you mean {near[0]}?" if near else _all(known)
            )
        chosen[name] = _key_list(file, name, keys)
    for screen in SCREENS:
        _distinct(file, {action.id: chosen.get(action.id, action.keys) for action in (*screen, *APP)})
    return chosen


def _distinct(file: Path, named: Mapping[str, str]) -> None:
    """On one screen a key does one thing."""
    taken: dict[str, str] = {}
    for name, keys in named.items():
        for key in keys.split(","):
            shown = key_to_character(key) or key
            other = taken.setdefault(shown, name)
            if other != name:
                raise _wrong(
                    file, f"{shown} would be both {other} and {name}", "give one of them another key"
                )


def _key_list(file: Path, name: str, keys: Any) -> str:
    listed = keys.split(",") if isinstance(keys, str) else keys
    if not isinstance(listed, list) or not listed:
        raise _wrong(file, f"the key of {name} is no text", f'for example: {name} = "ctrl+x"')
    cleaned = [str(key).strip() for key in listed]
    for key in cleaned:
        found = _KEY.fullmatch(key)
        if found is None or not (found.group(1) in _NAMED or key_to_character(found.group(1))):
            raise _wrong(file, f"{key!r:.40} is no key", "for example: x, ctrl+x, f5, pageup")
    return ",".join(cleaned)


def _all(known: Mapping[str, str]) -> str:
    return f"actions are {', '.join(known)}"


def _wrong(file: Path, message: str, hint: str) -> Missing:
    return Missing(f"{file}: {message}", hint, name="settings")
