"""The bridge between the engine's thread and the screen."""

from __future__ import annotations

import threading

from tui.answers import Want
from tui.feed import Feed
from workflows.core.events import Event, Lines, Noted


def lines(count: int) -> Lines:
    return Lines(task="t", text=tuple(str(number) for number in range(count)))


def test_a_full_feed_makes_the_producer_wait_until_it_is_drained() -> None:
    feed = Feed(limit=10)
    progress: list[int] = []
    blocked = threading.Event()

    def produce() -> None:
        for number in range(6):
            if number == 3:
                blocked.set()
            feed.put(lines(5))
            progress.append(number)

    thread = threading.Thread(target=produce, daemon=True)
    thread.start()
    assert blocked.wait(10)
    thread.join(0.2)
    assert progress == [0, 1, 2], "the fourth waits: more than ten lines are not drawn yet"
    drained: list[object] = []
    while thread.is_alive():
        drained += feed.drain()
        thread.join(0.01)
    drained += feed.drain()
    assert len(drained) == 6
    assert progress == list(range(6))


def test_events_without_lines_fill_it_too() -> None:
    feed = Feed(limit=3)
    thread = threading.Thread(target=lambda: [feed.put(Noted(text=str(n))) for n in range(9)], daemon=True)
    thread.start()
    thread.join(0.2)
    assert thread.is_alive()
    found: list[object] = []
    while thread.is_alive():
        found += feed.drain()
        thread.join(0.01)
    found += feed.drain()
    assert [event.text for event in found if isinstance(event, Noted)] == [str(n) for n in range(9)]


def test_a_closed_feed_holds_nobody_up() -> None:
    feed = Feed(limit=1)
    thread = threading.Thread(target=lambda: [feed.put(lines(5)) for _ in range(1000)], daemon=True)
    thread.start()
    feed.close()
    thread.join(10)
    assert not thread.is_alive()
    assert feed.drain() == []


def test_wishes_ring_and_events_wait_for_the_tick() -> None:
    rung: list[object] = []
    feed = Feed(ring=lambda: rung.append(1))
    event: Event = lines(1)
    feed.put(event)
    assert not rung
    want = Want()
    feed.put(want)
    assert rung == [1]
    assert feed.drain() == [event, want]


def test_the_first_reply_counts() -> None:
    want = Want()
    want.reply("first")
    want.reply("second")
    want.reply(ValueError())
    assert want.wait() == "first"
