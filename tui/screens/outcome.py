"""The one thing to do next: what the engine, or a look elsewhere, leaves to the person."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from tui.answers import WordWanted
from tui.model import places
from tui.widgets.prose import Said
from tui.widgets.work import Work
from workflows.core.failure import Cancelled, Failed

if TYPE_CHECKING:
    from tui.screens.wizard import Wizard

_BAD = ("✗", "$error bold", "$error")
_KEY = "$accent bold"
_LONG, _LONGEST = 160, 640  # characters, with and without lines in view


def outcome(screen: Wizard) -> list[Said]:
    """What stands below the step in view; empty while it works, or its form says it all."""
    if screen.broken is not None:
        return [Said(screen.broken.message, *_BAD, hint=screen.broken.hint), Said("q quits", "▸", _KEY)]
    if screen.view.unread:
        return [Said(f"enter: next — {_next(screen)}{_more(screen)}", "▸", _KEY, "bold")]
    found = _failure(screen)
    if screen.model.ended is not None:
        found += _ended(screen)
    elif not screen.view.at_current and screen.model.current is not None:
        back = " · r: do this one again" if screen.check_action("retry", ()) else ""
        title = screen.model.steps[screen.model.current].title
        found.append(Said(f"enter: to {title}, {_doing(screen)}{back}", "▸", _KEY))
    elif screen.check_action("next", ()):
        found.append(Said("enter: to the form · [ and ] look at other steps", "▸", _KEY))
    return found


def _next(screen: Wizard) -> str:
    """The title of the step that comes after what is being read."""
    names = list(screen.model.steps)
    after = names[names.index(screen.view.unread[0]) + 1 :]
    return screen.model.steps[after[0]].title if after else "the end"


def _doing(screen: Wizard) -> str:
    state = screen.model.steps[str(screen.model.current)].state
    words = {"asking": "which waits for you", "failed": "which failed", "cancelled": "which was stopped"}
    return words.get(state, "which is at work")


def _failure(screen: Wizard) -> list[Said]:
    step = screen.view.looked_at
    if step is None or step.error is None:
        return []
    stopped = step.state == "cancelled"
    message = step.error.get("message") or step.error.get("name") or "no reason was given"
    if step.speaking:  # its further lines are the end of a log that is in view
        message = message.split("\n")[0]
    # What to do about it has to be in view, too.
    message = _shortened(message, _LONG if step.speaking else _LONGEST, screen)
    if stopped and message == Cancelled().message:
        message = "stopped; what is finished stays"
    mark, style, strong = ("■", "$warning bold", "") if stopped else _BAD
    said = Said(message, mark, style, strong, step.error.get("hint") or "")
    if isinstance(screen.want, WordWanted) and screen.view.at_current:
        return [said, Said(_word(screen, screen.want.failure), "▸", _KEY)]
    return [said]


def _word(screen: Wizard, failure: Failed) -> str:
    """What the keys do after a failure: the same step again, or the one that mends it."""
    mends = screen.model.steps.get(failure.mends)
    if mends is None:
        return "r: again · q: quit; creamtea resume goes on here"
    return f"r: again from {mends.title} on, with other values if you like · q: quit; creamtea resume begins there too"


def _shortened(line: str, most: int, screen: Wizard) -> str:
    """A long line without its middle: how it ends says what went wrong. Two rows on a low screen."""
    if screen.has_class("-low"):
        most = min(most, max(40, 2 * screen.size.width - 20))
    return line if len(line) <= most else f"{line[: most * 3 // 5]} … {line[-(most * 2 // 5 - 3) :]}"


def _ended(screen: Wizard) -> list[Said]:
    ended = screen.model.ended
    if ended is None:
        return []
    low = screen.has_class("-low")
    keys = Said(_low_keys(screen) if low else _end_keys(screen), "▸", _KEY)
    if not screen.view.at_current:  # the step's own lines are what is looked for
        return [keys]
    word = {"done": ("✓", "$success bold"), "cancelled": ("■", "$warning bold")}.get(ended.outcome, _BAD[:2])
    verdict = f"The run is {ended.outcome} after {ended.seconds:.1f} s of work"
    found = [Said(f"{ended.outcome} in {ended.seconds:.1f} s of work" if low else verdict, *word, "bold")]
    outputs = {name: value for name, value in ended.outputs.items() if isinstance(value, Mapping)}
    if ended.outcome == "done":
        left = places(outputs)
        if low:  # a row each; the path is whole among the notes, and in the farewell
            left = {label: _tail(left[label], screen) for label in ("app", "result") if label in left}
        found += [Said(f"{label:<{6 if low else 9}}  {value}", " ") for label, value in left.items()]
    log = screen.source.log_dir or ended.log
    if log and not low:
        found.append(Said(f"{'log':<9}  {log}", " "))
    return [*found, keys]


def _end_keys(screen: Wizard) -> str:
    again = " · r: again from the step in view" if screen.source.live else ""
    return f"q: quit · [ and ] look back{again}{_more(screen)}"


def _low_keys(screen: Wizard) -> str:
    """The keys that the footer has no room for."""
    return "PgDn: more · " * screen.query_one(Work).has_more + "[ ] look back"


def _tail(value: str, screen: Wizard) -> str:
    """The end of a value, as much as fits into its row."""
    room = max(8, screen.query_one("#detail").content_size.width - 10)
    return value if len(value) <= room else f"…{value[1 - room :]}"


def _more(screen: Wizard) -> str:
    return " · PgDn: more to read" if screen.query_one(Work).has_more else ""
