"""Inputs of a step, declared once and rendered as flag, environment variable, line prompt and form widget."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from workflows.core.text import is_text

if TYPE_CHECKING:
    from workflows.core.context import Context

Kind = Literal["text", "choice", "path", "confirm", "number"]
Source = Literal["flag", "environment", "manifest", "default", "asked", "none"]


@dataclass(frozen=True)
class Choice:
    """One of the values of a choice field, or a file at hand for a path, which is offered and never taken by itself.

    `note` is shown beside it, `group` filters long lists.
    """

    value: str
    label: str = ""
    note: str = ""
    group: str = ""


def _always(_: Context) -> bool:
    return True


def _no_choices(_: Context) -> Sequence[Choice]:
    return ()


@dataclass(frozen=True)
class Field:
    """An input. A secret is never the value of a field: fields name files, prompts ask for the rest.

    `default` may be a function of the context; `check` returns the value in its normal form or raises
    ValueError with a sentence; `when` hides the field where it means nothing; `manifest` is the dotted
    key of `creamtea.toml` that keeps the value, `tried` says that it keeps it only once the step ended well;
    `strict` is False where a choice may be typed freely; `filters` names another field whose choices this one
    narrows to its group; a `numbered` path is written N=FILE; `empty` says what an empty field stands for.
    """

    name: str
    label: str
    kind: Kind = "text"
    help: str = ""
    default: Any = None
    check: Callable[[Any], Any] | None = None
    choices: Callable[[Context], Sequence[Choice]] = _no_choices
    when: Callable[[Context], bool] = _always
    required: bool = True
    strict: bool = True
    many: bool = False
    numbered: bool = False
    manifest: str = ""
    tried: bool = False
    metavar: str = ""
    filters: str = ""
    files: str = ""
    empty: str = ""

    @property
    def flag(self) -> str:
        """The command-line flag: `--base-image`."""
        return "--" + self.name.replace("_", "-")

    @property
    def variable(self) -> str:
        """The environment variable: `CREAMTEA_BASE_IMAGE`."""
        return "CREAMTEA_" + self.name.upper()

    def initial(self, ctx: Context) -> Any:
        """The default in this context."""
        return self.default(ctx) if callable(self.default) else self.default

    def parse(self, value: Any, ctx: Context) -> Any:
        """The value in its normal form. ValueError says what is wrong with it."""
        if self.many:
            items = list(value) if isinstance(value, list | tuple) else [value]
            parsed = [self._parse_item(item, ctx) for item in items if item not in ("", None)]
            return [one for one in parsed if one is not None]  # of blanks nothing is left
        return self._parse_one(value, ctx)

    def _parse_item(self, item: Any, ctx: Context) -> Any:
        """One of several, named when it is wrong as it was given: the others may be right."""
        try:
            return self._parse_one(item, ctx)
        except ValueError as error:
            if not isinstance(item, str) or not is_text(item) or str(error).startswith(item):
                raise
            raise ValueError(f"{item}: {error}") from None

    def kept(self, value: Any, ctx: Context) -> Any:
        """The value as the manifest keeps it: a path inside the project without the project's own."""
        if isinstance(value, list):
            return [self.kept(item, ctx) for item in value]
        if not self.names_file(value):
            return value
        mark, file = self.split(str(value))
        inside = Path(file).is_relative_to(ctx.project)
        return mark + str(Path(file).relative_to(ctx.project)) if inside else value

    def located(self, value: Any, place: Path) -> Any:
        """The value of a path with its file in a place, unless that is absolute or under a home."""
        if isinstance(value, list):
            return [self.located(item, place) for item in value]
        mark, file = self.split(str(value))
        return mark + str(place / Path(file).expanduser()) if file else str(value)

    def split(self, value: str) -> tuple[str, str]:
        """What stands before the file, `N=`, and the file, which is empty where there is none."""
        number, equals, file = value.partition("=") if self.numbered else ("", "", value)
        return number + equals, file

    def names_file(self, value: Any) -> bool:
        """Whether a value is the path of a file."""
        return bool(value) and (self.kind == "path" or bool(self.files and str(value).endswith(self.files)))

    def _parse_one(self, value: Any, ctx: Context) -> Any:
        if isinstance(value, list | dict):
            raise ValueError(f"{self.label} is one value, not several")
        if isinstance(value, str):
            value = value.strip()
        elif self.kind in ("text", "choice", "path") and value is not None:
            value = str(value)  # a number that somebody wrote into the manifest
        if isinstance(value, str) and not is_text(value):
            raise ValueError(f"{value!a:.80} is not UTF-8 text")
        if value in ("", None):
            if self.required and self.kind != "confirm":
                raise ValueError(f"{self.label} is needed")
            return False if self.kind == "confirm" else None
        if self.kind == "confirm":
            value = _boolean(value)
        elif self.kind == "number":
            value = _integer(value)
        elif self.names_file(value):
            value = self.located(value, ctx.project)
        elif self.kind == "choice" and self.strict:
            allowed = [choice.value for choice in self.choices(ctx)]
            if value not in allowed:
                raise ValueError(f"{value:.80} is not one of {', '.join(allowed)}")
        return self.check(value) if self.check else value


def _boolean(value: Any) -> bool:
    if isinstance(value, bool):
        return value
    word = str(value).lower()
    if word in ("1", "true", "yes", "y", "on"):
        return True
    if word in ("0", "false", "no", "n", "off"):
        return False
    raise ValueError(f"{value!s:.40} is neither yes nor no")


def _integer(value: Any) -> int:
    try:
        return int(str(value), 10)
    except ValueError:
        raise ValueError(f"{value!s:.40} is not a whole number") from None


@dataclass(frozen=True)
class Filled:
    """A field with the value it has so far, where that came from, and what is wrong with it, if anything."""

    field: Field
    value: Any
    source: Source
    problem: str | None = None
