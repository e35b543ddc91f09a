"""Dockerfiles are cut exactly, and other bases are put in without touching anything else."""

from __future__ import annotations

from dataclasses import dataclass

import pytest
from hypothesis import given
from hypothesis import strategies as st

from workflows.containers.dockerfile import bases, directives, expand, instructions, rewrite_from

REAL = "registry.scontain.com:5050/sconecuratedimages/python:3.7.3-alpine3.10"
STAND_IN = "creamtea.local/stand-in/python:1"


def rewritten(text: str, mapping: dict[str, str] | None = None, args: dict[str, str] | None = None) -> str:
    return rewrite_from(text, mapping or {REAL: STAND_IN}, args)[0]


@pytest.mark.parametrize(
    "line",
    ["FROM {}", "from {}", "FROM {} AS app", "FROM --platform=linux/amd64 {} as app", "  FROM\t{}  ",
     "FROM \\\n  {} \\\n  AS app", "FROM \\\n# why\n\n  {}", "FROM {}\r\nRUN true\r",
     "FROM --platform=$TARGETPLATFORM {} AS a",
     "ARG X=1\nFROM {}", "# syntax=docker/dockerfile:1\nFROM {}", "# escape=`\nFROM `\n  {}", "\ufeffFROM {}"],
)  # fmt: skip
def test_from_in_every_form(line: str) -> None:
    text = line + "\nRUN echo FROM {}\n"
    assert rewritten(text.replace("{}", REAL, 1)) == text.replace("{}", STAND_IN, 1)


def test_quotes_and_arguments_are_resolved_before_comparing() -> None:
    text = (
        "ARG REG=registry.scontain.com:5050 TAG='3.7.3-alpine3.10'\n"
        'ARG BASE="$REG/sconecuratedimages/python"\n'
        "FROM ${BASE}:${TAG} AS one\n"
        "FROM $BASE:${OTHER:-3.7.3-alpine3.10}\n"
        f'FROM "{REAL}"\n'
        "FROM ${BASE}:other\n"
    )
    found, changes = rewrite_from(text, {REAL: STAND_IN})
    lines = found.splitlines()
    assert lines[2:6] == [
        f"FROM {STAND_IN} AS one",
        f"FROM {STAND_IN}",
        f"FROM {STAND_IN}",
        "FROM ${BASE}:other",
    ]
    assert lines[:2] == text.splitlines()[:2]
    assert [(change.line, change.before, change.after) for change in changes] == [
        (line, REAL, STAND_IN) for line in (3, 4, 5)
    ]


def test_build_arguments_win_over_defaults() -> None:
    text = f"ARG BASE=other\nFROM $BASE\nARG BASE={REAL}\nFROM $BASE\n"
    assert rewritten(text) == text  # an ARG after the first FROM belongs to its stage
    assert rewritten(text, args={"BASE": REAL}).count(STAND_IN) == 2
    assert rewritten("FROM $BASE\n", args={"BASE": REAL}) == "FROM $BASE\n"  # not declared: Docker ignores it


def test_copy_from_and_mount_from() -> None:
    text = (
        "FROM scratch\n"
        f"COPY --chown=1:1 --from={REAL} /a /b\n"
        f"RUN --mount=type=bind,from={REAL},target=/x --network=none true --from={REAL}\n"
        f"RUN cp --from={REAL}\n"
        f"COPY --from=other /a {REAL}\n"
    )
    found, changes = rewrite_from(text, {REAL: STAND_IN})
    assert found.splitlines()[1] == f"COPY --chown=1:1 --from={STAND_IN} /a /b"
    assert found.splitlines()[2] == (
        f"RUN --mount=type=bind,from={STAND_IN},target=/x --network=none true --from={REAL}"
    )
    assert found.splitlines()[3:] == text.splitlines()[3:]
    assert [change.line for change in changes] == [2, 3]


def test_stages_are_never_taken_for_images() -> None:
    text = (
        "FROM python AS build\nFROM BUILD\nCOPY --from=build /a /a\nCOPY --from=0 /a /a\nFROM golang AS Python\n"
        "FROM python\nCOPY --from=golang /a /b\n"
    )
    found = rewritten(text, {"python": "x", "build": "y", "0": "z", "golang": "go"})
    assert found == text.replace("FROM python AS", "FROM x AS").replace("golang", "go")


@pytest.mark.parametrize("opening", ["<<EOF", "<<-EOF", "<<'EOF'", '<<"EOF"', "0<<EOF"])
def test_a_heredoc_is_not_looked_into(opening: str) -> None:
    end = "\tEOF" if "-" in opening else "EOF"
    text = f"FROM {REAL}\nRUN cat {opening} > /x\nFROM {REAL}\n# not a comment\n{end}\nFROM {REAL} AS two\n"
    assert rewritten(text).splitlines() == [
        f"FROM {STAND_IN}", f"RUN cat {opening} > /x", f"FROM {REAL}", "# not a comment", end,
        f"FROM {STAND_IN} AS two",
    ]  # fmt: skip
    assert [one.heredocs for one in instructions(text)] == [(), ("EOF",), ()]


def test_what_only_looks_like_a_heredoc() -> None:
    text = 'FROM a\nRUN echo $((1<<X))\nRUN ["sh", "-c", "cat <<E"]\nCOPY <<ONE <<TWO /x/\n1\nONE\n2\nTWO\nENV A=<<B\n'
    assert [(one.keyword, one.heredocs) for one in instructions(text)] == [
        ("FROM", ()), ("RUN", ()), ("RUN", ()), ("COPY", ("ONE", "TWO")), ("ENV", ()),
    ]  # fmt: skip


def test_directives_stand_only_at_the_top() -> None:
    assert directives("# syntax=docker/dockerfile:1\n#escape = `\nFROM a") == {
        "syntax": "docker/dockerfile:1", "escape": "`",
    }  # fmt: skip
    assert directives("\n# syntax=x\nFROM a") == {}
    assert directives("# a comment\n# syntax=x") == {}


@pytest.mark.parametrize(
    ("word", "value"),
    [("$A", "1"), ("${A}x", "1x"), ("$NONE", ""), ("${NONE:-d}", "d"), ("${EMPTY:-d}", "d"), ("${EMPTY-d}", ""),
     ("${A:+y}", "y"), ("${NONE:+y}", ""), ("\\$A", "$A"), ("'$A'", "$A"), ('"$A"', "1"), ("${NONE:-$A}", "1")],
)  # fmt: skip
def test_values_are_put_in_as_docker_does(word: str, value: str) -> None:
    assert expand(word, {"A": "1", "EMPTY": ""}) == value


@dataclass(frozen=True)
class Piece:
    """Some lines of a Dockerfile before and after; `{}` is the image's place."""

    text: str
    image: str | None = None


IMAGES = {"python:3": "stand/in:1", "reg.io:5000/x/y:z": "python:3", "node": "other/node@sha256:" + "ab" * 32}
name = st.from_regex(r"[a-z][a-z0-9]{3,8}", fullmatch=True)
mapped = st.sampled_from(sorted(IMAGES))
piece = st.one_of(
    st.builds(
        lambda word, flags, image, gap, stage, eol: Piece(f"{word}{flags}{gap}{{}}{stage}{eol}", image),
        st.sampled_from(["FROM", "from", "From"]),
        st.sampled_from(["", " --platform=linux/amd64", " --platform=$X"]),
        mapped | st.sampled_from(["scratch", "alpine", "python:3.1"]),
        st.sampled_from([" ", "\t ", " \\\n ", " \\\n# note\n "]),
        st.sampled_from(["", " AS zz", " as Zz", " \\\nAS zz"]),
        st.sampled_from(["\n", " \n", "\r\n"]),
    ),
    st.builds(lambda image: Piece("COPY --from={} /a /b\n", image), mapped),
    st.builds(lambda image: Piece(f"RUN echo FROM {image}\n"), mapped),
    st.builds(lambda image: Piece(f"# FROM {image}\n"), mapped),
    st.builds(lambda image: Piece(f"RUN true && \\\n  FROM {image}\n"), mapped),
    st.builds(lambda text: Piece(f"ENV A={text}\n"), name),
    st.just(Piece("\n")),
)


@given(st.lists(piece, max_size=12), st.sets(mapped))
def test_only_the_images_change_and_exactly_those(pieces: list[Piece], chosen: set[str]) -> None:
    text = "".join(p.text.format(p.image) if p.image else p.text for p in pieces)
    mapping = {image: IMAGES[image] for image in chosen}
    expected = "".join(p.text.format(mapping.get(p.image, p.image)) if p.image else p.text for p in pieces)
    found, changes = rewrite_from(text, mapping)
    assert found == expected
    assert [change.before for change in changes] == [p.image for p in pieces if p.image in chosen]
    assert all(changes[i].line < changes[i + 1].line for i in range(len(changes) - 1))


dockerish = st.lists(
    st.sampled_from(["FROM ", "ARG A=", "RUN ", "COPY ", "--from=", "a", "$A", "${A:-", "}", "\\\n", "\n", "<<E", "E",
                     '"', "'", " ", "#", "\t", "AS ", "\r\n", "`", "--mount=type=bind,from=", ",",
                     "# escape=`\n", "é"]),
    max_size=40,
).map("".join)  # fmt: skip


@given(st.text() | dockerish)
def test_any_text_survives_and_positions_are_exact(text: str) -> None:
    for one in instructions(text):
        assert [text[at] for at in one.offsets] == list(one.text)
    for base in bases(text):
        assert 0 <= base.start < base.end <= len(text)
    assert rewrite_from(text, {}) == (text, [])
    found, changes = rewrite_from(text, {"a": "stand-in"})
    assert (found == text) == (not changes)
    assert found.count("\n") <= text.count("\n")
