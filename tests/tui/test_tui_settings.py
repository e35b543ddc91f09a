"""The configuration file: used when it is right, explained in one message when it is not."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from textual.widgets._toast import Toast

from tui import settings
from tui.app import Creamtea
from tui.screens.start import Start
from workflows.core.failure import Missing


def written(home: Path, text: str) -> Path:
    file = settings.path()
    file.parent.mkdir(parents=True)
    file.write_text(text)
    assert home in file.parents
    return file


def test_without_a_file_all_is_as_we_ship_it(home: Path) -> None:
    assert settings.load() == settings.Settings()


def test_a_theme_and_keys(home: Path) -> None:
    written(home, 'theme = "nord"\n[keys]\ncancel = "x"\nquit = ["ctrl+q", "f10"]\nfind = "?"\nwhy = "f1"\n')
    assert settings.load() == settings.Settings(
        "nord", {"cancel": "x", "quit": "ctrl+q,f10", "find": "?", "why": "f1"}
    )
    app = Creamtea(folder=home)
    assert app.theme == "nord"
    assert app.keymap["cancel"] == "x"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("theme = 3", "there is no theme 3"),
        ('theme = "pink-elephant"', "there is no theme 'pink-elephant'"),
        ("colour = 1", "there is no setting 'colour'"),
        ("keys = 1", "keys is no table"),
        ('[keys]\ncancle = "x"', "there is no action 'cancle'"),
        ("[keys]\ncancel = 4", "the key of cancel is no text"),
        ("[keys]\ncancel = []", "the key of cancel is no text"),
        ('[keys]\ncancel = "ctrl+nonsense"', "'ctrl+nonsense' is no key"),
        ('[keys]\ncancel = ""', "'' is no key"),
        ('[keys]\ncancel = "q"', "q would be both cancel and quit"),
        ('[keys]\ncancel = "?"', "? would be both cancel and why"),
        ("theme = ", "is not valid TOML"),
    ],
)
def test_what_is_wrong_is_one_message_and_the_screen_starts_anyway(
    home: Path, text: str, message: str
) -> None:
    file = written(home, text)
    with pytest.raises(Missing) as caught:
        settings.load()
    assert message in caught.value.message and str(file) in caught.value.message
    assert caught.value.hint

    async def body() -> None:
        app = Creamtea(folder=home)
        async with app.run_test(notifications=True) as pilot:
            await pilot.pause()
            assert isinstance(app.screen, Start)
            toasts = [str(toast.render()) for toast in app.screen.query(Toast)]
            assert len(toasts) == 1 and "the settings are not used" in toasts[0]

    asyncio.run(body())


def test_a_hint_for_a_slip(home: Path) -> None:
    written(home, '[keys]\ncancle = "x"')
    with pytest.raises(Missing) as caught:
        settings.load()
    assert caught.value.hint == "did you mean cancel?"


def chosen(home: Path, theme: str) -> list[str]:
    """What the app says once a theme was chosen from its list."""

    async def body() -> list[str]:
        app = Creamtea(folder=home)
        async with app.run_test(notifications=True) as pilot:
            await pilot.pause()
            await pilot.press("ctrl+t")
            await pilot.pause()
            await pilot.press(*theme)
            await pilot.pause(0.5)
            await pilot.press("enter")
            await pilot.pause(0.3)
            assert app.theme == theme
            return [str(toast.render()) for toast in app.screen.query(Toast)]

    return asyncio.run(body())


def test_a_theme_that_is_chosen_is_kept_beside_what_is_there(home: Path) -> None:
    assert chosen(home, "nord") == []
    assert settings.load().theme == "nord" and Creamtea(folder=home).theme == "nord"
    file = settings.path()
    file.write_text('# mine\n\ntheme = "nord"  # cold\n[keys]\ncancel = "x"\n')
    assert chosen(home, "dracula") == []
    assert file.read_text() == '# mine\n\ntheme = "dracula"  # cold\n[keys]\ncancel = "x"\n'


def test_a_theme_gets_its_place_before_the_tables(home: Path) -> None:
    file = written(home, '# mine\n[keys]\ncancel = "x"\n')
    settings.keep_theme("nord")
    assert settings.load() == settings.Settings("nord", {"cancel": "x"})
    assert "# mine" in file.read_text()


def test_looking_writes_no_settings(home: Path) -> None:
    async def body() -> None:
        async with Creamtea(folder=home).run_test() as pilot:
            await pilot.pause()

    asyncio.run(body())
    assert not settings.path().exists()


def test_settings_that_cannot_be_used_are_not_written_over(home: Path) -> None:
    file = written(home, 'theme = "pink-elephant"\n')
    told = chosen(home, "nord")
    assert any("is not kept" in toast for toast in told)
    assert file.read_text() == 'theme = "pink-elephant"\n'


def test_a_theme_that_cannot_be_written_is_told(home: Path) -> None:
    settings.path().parent.parent.mkdir(parents=True, exist_ok=True)
    settings.path().parent.write_text("a file where the folder should be")
    assert any("is not kept" in toast for toast in chosen(home, "nord"))
