"""Each rule of the check finds its fault, once, at its line; a sound Dockerfile has none."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from workflows.scone import dockerfile, shell
from workflows.scone.findings import LEVELS
from workflows.scone.instructions import NoEntrypoint, entrypoint

BASE = "sconecuratedimages/public-apps:python-3.7.3-alpine3.10-scone3.0"
# A Dockerfile of iExec's own apps, as their repositories had it in 2020.
IEXEC = f"""\
FROM {BASE}
ENV SCONE_HEAP=1G
RUN SCONE_MODE=sim pip3 install eth_abi
COPY ./src /app
COPY ./tee/protect-fs.sh ./tee/Dockerfile /build/
RUN sh /build/protect-fs.sh /app
ENTRYPOINT ["python", "/app/app.py"]
"""
# The design of 2019: the commands themselves.
BY_HAND = f"""\
FROM {BASE}
ENV SCONE_HEAP=1G
COPY src /app
RUN export SCONE_MODE=sim; scone fspf create /fspf.pb \\
    && scone fspf addr /fspf.pb / --not-protected --kernel / \\
    && for d in /usr /bin /lib /etc/ssl /sbin /app; do \\
         scone fspf addr --authenticated --kernel $d /fspf.pb $d && scone fspf addf /fspf.pb $d $d; \\
       done \\
    && scone fspf encrypt /fspf.pb > /keytag && SCONE_HASH=1 python3 > /mrenclave
ENTRYPOINT ["python3", "/app/app.py"]
"""
FILES = ("src/app.py", "tee/Dockerfile", "tee/protect-fs.sh")


def found(text: str, files: tuple[str, ...] = (), **options: object) -> list[tuple[str, int, str]]:
    findings = dockerfile.check(text, files, **options)  # type: ignore[arg-type]
    assert findings == sorted(findings, key=lambda item: (LEVELS.index(item.level), item.line))
    assert all(item.text and item.hint for item in findings)
    return [(item.level, item.line, item.text) for item in findings if item.level != "info"]


def test_sound_ones_have_no_finding():
    assert found(IEXEC, FILES) == []
    assert found(BY_HAND, FILES) == []


def swap(text: str, old: str, new: str) -> str:
    assert old in text
    return text.replace(old, new)


APP_OUT = swap(BY_HAND, "/sbin /app;", "/sbin;")
SEALED = f"""\
FROM {BASE} AS runtime
ENV SCONE_HEAP=1G
RUN mkdir /app
FROM runtime AS protect
COPY src /plain
RUN scone fspf create /fspf.pb; scone fspf addr /fspf.pb / -n --kernel /; \\
    scone fspf addr /fspf.pb /app -e --kernel /app; scone fspf addf /fspf.pb /app /plain /sealed; \\
    SCONE_MODE=sim SCONE_HASH=1 python3 > /m; scone fspf encrypt /fspf.pb > /k
FROM runtime
COPY --from=protect /sealed /app
COPY --from=protect /fspf.pb /fspf.pb
ENTRYPOINT ["python3", "/app/app.py"]
"""

CASES = {
    "no FROM": ("# nothing\n", "error", 0, "no FROM"),
    "empty": ("", "error", 0, "no FROM"),
    "no entrypoint": (swap(IEXEC, "ENTRYPOINT", "LABEL x="), "error", 0, "no ENTRYPOINT"),
    "shell form": (swap(IEXEC, '["python", "/app/app.py"]', "python /app/app.py"), "error", 7, "shell form"),
    "broken exec form": (swap(IEXEC, '"]', '"'), "error", 7, "shell form"),
    "single quotes": (swap(IEXEC, '"', "'"), "error", 7, "shell form"),
    "a pipe": (swap(IEXEC, "/app/app.py", "/app/a|b.py"), "error", 7, "cannot hold"),
    "a blank": (swap(IEXEC, "/app/app.py", "/app/my app.py"), "error", 7, "cannot hold"),
    "a shell": (swap(IEXEC, '["python"', '["/bin/sh", "-c"'), "error", 7, "no SCONE program"),
    "native interpreter": (swap(IEXEC, '["python"', '["/usr/bin/python3"'), "warning", 7, "may not be SCONE's"),
    "relative": (swap(IEXEC, "/app/app.py", "app.py"), "warning", 7, "whole path"),
    "cmd": (IEXEC + 'CMD ["x"]\n', "warning", 8, "CMD"),
    "arm": (swap(IEXEC, "FROM ", "FROM --platform=linux/arm64 "), "error", 1, "linux/arm64"),
    "unknown base": (swap(IEXEC, BASE, "python:3.11"), "warning", 1, "not in the catalogue"),
    "unpinned base": (swap(IEXEC, BASE, "me/mine"), "warning", 1, "not pinned"),
    "tool as base": (
        swap(IEXEC, BASE, "sconecuratedimages/sconecli:alpine3.7-scone3.0"), "error", 1, "no base for an app",
    ),
    "syntax": ("# syntax=docker/dockerfile:1\n" + IEXEC, "warning", 1, "syntax"),
    "unprotected": (swap(IEXEC, "RUN sh /build/protect-fs.sh /app\n", ""), "error", 0, "nothing protects"),
    "only named": (swap(IEXEC, "RUN sh /build/", "RUN chmod +x /build/"), "error", 0, "nothing protects"),
    "copy after": (swap(IEXEC, "ENTRYPOINT", "COPY src/app.py /app/\nENTRYPOINT"), "error", 7, "COPY after"),
    "run after": (IEXEC + "RUN rm -rf /tmp/x\n", "error", 8, "RUN after"),
    "heap after": (IEXEC + "ENV SCONE_HEAP=2G\n", "error", 8, "changes it"),
    "etc": (swap(BY_HAND, "/etc/ssl", "/etc"), "error", 4, "/etc is authenticated"),
    "etc with a slash": (swap(BY_HAND, "/etc/ssl", "/etc/"), "error", 4, "is authenticated"),
    "root": (swap(BY_HAND, "/ --not-protected", "/ --authenticated"), "error", 4, "/ is authenticated"),
    "script on root": (swap(IEXEC, "protect-fs.sh /app\n", "protect-fs.sh /\n"), "error", 6, "/ is authenticated"),
    "no root": (swap(BY_HAND, " / --not-protected", " /opt --not-protected"), "error", 4, "no region /"),
    "app region": (APP_OUT, "error", 4, "no folder of the app"),
    "entry elsewhere": (swap(BY_HAND, '"/app/app.py"', '"/srv/app.py"'), "error", 10, "no protected region"),
    "other program": (swap(BY_HAND, '["python3"', '["node"'), "error", 4, "MRENCLAVE is that of python3"),
    "no dockerfile": (swap(IEXEC, " ./tee/Dockerfile", ""), "error", 6, "reads the ENTRYPOINT"),
    "apk npm": (swap(IEXEC, "RUN SCONE", "RUN apk add bash nodejs-npm\nRUN SCONE"), "warning", 3, "nodejs-npm"),
    "apt": (swap(IEXEC, "RUN SCONE", "RUN apt-get install -y gcc\nRUN SCONE"), "error", 3, "apt on an Alpine"),
    "sim missing": (swap(IEXEC, "SCONE_MODE=sim ", ""), "warning", 3, "pip3 runs without"),
    "sim stays": (swap(IEXEC, "ENV ", "ENV SCONE_MODE=sim "), "warning", 2, "cannot be attested"),
    "mode": (swap(IEXEC, "ENV ", "ENV SCONE_MODE=fast "), "error", 2, "no mode"),
    "user": (swap(IEXEC, "ENTRYPOINT", "USER 1000\nENTRYPOINT"), "warning", 7, "cannot make /iexec_in"),
    "no heap": (swap(IEXEC, "ENV SCONE_HEAP=1G\n", ""), "warning", 0, "SCONE_HEAP"),
    "bad heap": (swap(IEXEC, "=1G", "=1GB"), "error", 2, "not a size"),
    "dlopen": (swap(IEXEC, "ENV ", "ENV SCONE_ALLOW_DLOPEN=2 "), "warning", 2, "nobody checked"),
    "secret mount": (swap(IEXEC, "RUN SCONE", "RUN --mount=type=secret,id=x SCONE"), "error", 3, "session"),
    "a shell script": (swap(IEXEC, '"python", ', '"/app/start", '), "error", 7, "the enclave of this base is python3"),
    "an installed program": (swap(IEXEC, '"python", "/app/app.py"', '"gunicorn", "/app/app"'), "error", 7, "gunicorn"),
    "copied heredoc": (swap(IEXEC, "COPY ./src", "COPY <<EOF /x\nls\nEOF\nCOPY ./src"), "warning", 4, "heredoc"),
    "heredoc": (swap(IEXEC, "COPY ./src", "RUN <<EOF\nls\nEOF\nCOPY ./src"), "warning", 4, "heredoc"),
    "secret variable": (swap(IEXEC, "ENV ", "ENV DB_PASSWORD=x "), "error", 2, "DB_PASSWORD"),
    "add from afar": (swap(IEXEC, "COPY ./src", "ADD https://x.org/y /y\nCOPY ./src"), "warning", 4, "fetched"),
    "no such stage": (swap(IEXEC, "COPY ./src", "COPY --from=b /x /x\nCOPY ./src"), "error", 4, "no stage b"),
    "other stage": (swap(SEALED, "FROM runtime\n", f"FROM {BASE}\n"), "error", 9, "not FROM the one"),
    "no fspf": (swap(SEALED, "COPY --from=protect /fspf.pb /fspf.pb\n", ""), "error", 9, "/fspf.pb is not copied"),
    "added at the end": (swap(SEALED, "FROM runtime\n", "FROM runtime\nCOPY x /app/\n"), "error", 10, "COPY after"),
}  # fmt: skip


@pytest.mark.parametrize("name", CASES)
def test_a_fault_is_found(name):
    text, level, line, said = CASES[name]
    matching = [item for item in found(text) if said in item[2]]
    assert [(item[0], item[1]) for item in matching] == [(level, line)], found(text)


def test_a_sealed_one_is_sound():
    assert found(SEALED, ("src/app.py",)) == []


def test_recorded_entrypoint_must_be_the_same():
    step = "RUN scone fspf encrypt /f > k; printf '%s\\n' 'python3 /app/old.py' > entrypoint\n"
    text = f'FROM {BASE}\nENV SCONE_HEAP=1G\n{step}ENTRYPOINT ["python3", "/app/new.py"]\n'
    assert [item[:2] for item in found(text) if "another" in item[2]] == [("error", 3)]
    assert found(text.replace("old", "new")) == []


@pytest.mark.parametrize(
    ("files", "level", "said"),
    [
        (("src/app.py", ".env"), "error", ".env"),
        (("src/app.py", "a/b/id_rsa"), "error", "id_rsa"),
        (("src/app.py", ".secrets"), "error", ".secrets"),
        (("src/app.py", ".git/config"), "warning", ".git/config"),
        (("src/app.py", "node_modules"), "warning", "node_modules"),
        (tuple(f"x{number}.pyc" for number in range(9)), "warning", "and 6 more"),
    ],
)
def test_copy_of_everything(files, level, said):
    text = swap(IEXEC, "COPY ./src /app", "COPY . /app")
    assert [item[0] for item in found(text, (*FILES, *files)) if said in item[2]] == [level]


def test_files_that_are_not_there_or_not_copied():
    assert [item[:2] for item in found(IEXEC, ("src/app.py",))] == [("error", 5)] * 2
    infos = [item.text for item in dockerfile.check(IEXEC, (*FILES, "lib/new.py")) if item.level == "info"]
    assert "not copied into the image: lib/new.py" in infos


def test_apk_on_the_stand_in_gives_the_debian_line():
    text = swap(
        IEXEC, "RUN SCONE", "RUN apk add --no-cache -t .deps build-base libffi-dev=1.2 && true\nRUN SCONE"
    )
    finding = dockerfile.check(text, stand_in=True)[0]
    assert (finding.level, finding.line) == ("error", 3)
    assert "install -y --no-install-recommends build-essential libffi-dev &&" in finding.hint
    npm = dockerfile.check(swap(IEXEC, "RUN SCONE", "RUN apk add bash nodejs-npm\nRUN SCONE"), stand_in=True)[
        0
    ]
    assert "Leave the line out" in npm.hint
    other = dockerfile.check(swap(IEXEC, "RUN SCONE", "RUN apk add quux\nRUN SCONE"), stand_in=True)[0]
    assert "quux" in other.hint


def test_a_local_base_is_no_stranger():
    text = swap(IEXEC, BASE, "me/mine:1")
    assert [item[1] for item in found(text)] == [1]
    assert found(text, local=["me/mine:1"]) == []


def test_base_from_arguments():
    text = f"ARG VERSION=3.0\nFROM {BASE.removesuffix('3.0')}${{VERSION}}\n" + IEXEC.split("\n", 1)[1]
    assert found(text) == []


@pytest.mark.parametrize(
    ("text", "command"),
    [
        (IEXEC, "python /app/app.py"),
        (
            'FROM a\nENTRYPOINT ["a"]\nFROM b\nentrypoint  [ "node" , "/app/x.js","--y" ]',
            "node /app/x.js --y",
        ),
        ('FROM a\nENTRYPOINT ["a", \\\n  "/b"]\n', "a /b"),
    ],
)
def test_entrypoint_is_the_last(text, command):
    assert entrypoint(text) == command


@pytest.mark.parametrize(
    "value", ["", "[]", '[""]', "a b", '["a", 1]', '["a", "b\\n"]', '["a", "b|c"]', '{"a": 1}']
)
def test_entrypoints_that_are_refused(value):
    with pytest.raises(NoEntrypoint) as caught:
        entrypoint(f"FROM a\nENTRYPOINT {value}\n")
    assert caught.value.hint


@given(
    st.text()
    | st.lists(
        st.sampled_from([*IEXEC.splitlines(), *SEALED.splitlines(), "\\", "'", "COPY", "RUN <<A"])
    ).map("\n".join)
)
def test_any_text_is_checked_without_a_crash(text):
    for finding in dockerfile.check(text, FILES, stand_in=True):
        assert finding.level in LEVELS
        assert finding.text.isprintable() and finding.hint


@pytest.mark.parametrize(
    ("command", "regions"),
    [
        ("scone fspf addr /f / -n --kernel /", {"/": "not-protected"}),
        ("a && scone fspf addr -a -k 32 --kernel /x /f /app; b", {"/app": "authenticated"}),
        ("scone fspf addr /f '/a b' --encrypted --ephemeral", {"/a b": "encrypted"}),
        (
            'for d in /a "/b c"; do scone fspf addr /f "${d}" -a --kernel $d; done',
            {"/a": "authenticated", "/b c": "authenticated"},
        ),
        ("scone fspf addr /f $X -a --kernel /", {}),
        ("echo scone fspf addr /f /x -a --kernel /x", {}),
        ("scone fspf addr /f '/x", {}),
    ],
)  # fmt: skip
def test_regions_in_shell(command, regions):
    assert shell.regions(command) == regions


@pytest.mark.parametrize(
    ("text", "line", "said"),
    [
        (swap(IEXEC, "FROM", "FORM"), 1, "unknown instruction FORM; did you mean FROM?"),
        (swap(IEXEC, "RUN SCONE", "RUNN SCONE"), 3, "unknown instruction RUNN; did you mean RUN?"),
        (swap(IEXEC, "COPY ./src", "xyzzy\nCOPY ./src"), 4, "unknown instruction XYZZY"),
    ],
)
def test_an_unknown_instruction_is_named(text, line, said):
    assert ("error", line, said) in found(text, FILES)


def test_what_is_left_out_is_told_where_a_line_names_it():
    text = swap(IEXEC, "COPY ./src /app", "COPY ./src /app\nCOPY src/secret.txt notes/deep.txt /app/")
    left_out = {"src/secret.txt": "the dataset of a task", "notes": "the tools' own"}
    findings = dockerfile.check(text, FILES, left_out=left_out)
    errors = [(one.line, one.text) for one in findings if one.level == "error"]
    assert errors == [
        (5, "COPY names src/secret.txt, which is left out of the image: the dataset of a task"),
        (5, "COPY names notes, which is left out of the image: the tools' own"),
    ]


def test_data_that_comes_along_is_told_and_data_that_is_named_is_meant():
    files = (*FILES, "src/table.csv")
    [finding] = [one for one in dockerfile.check(IEXEC, files, data=["src/table.csv"]) if one.level != "info"]
    assert (finding.level, finding.line) == ("warning", 4) and "src/table.csv" in finding.text
    named = swap(IEXEC, "COPY ./src /app", "COPY src/app.py src/table.csv /app/")
    assert [
        one for one in dockerfile.check(named, files, data=["src/table.csv"]) if one.level != "info"
    ] == []


def test_a_user_whose_folders_are_made_is_sound():
    made = "RUN mkdir /iexec_in /iexec_out && chown 1000 /iexec_in /iexec_out\nCOPY ./src"
    text = swap(swap(IEXEC, "ENTRYPOINT", "USER 1000:1000\nENTRYPOINT"), "COPY ./src", made)
    assert found(text, FILES) == []
    assert found(swap(IEXEC, "ENTRYPOINT", "USER root\nENTRYPOINT"), FILES) == []


def test_a_module_of_the_app_is_not_found_from_the_root():
    text = swap(IEXEC, '"/app/app.py"', '"-m", "src.app"')
    assert any(
        "python -m src.app finds nothing" in item[2] for item in found(text, FILES) if item[0] == "error"
    )
    text = swap(IEXEC, '"/app/app.py"', '"-m", "eth_abi"')
    assert not [item for item in found(text, FILES) if item[0] == "error"]


def test_a_virtual_environment_is_outside_of_what_is_protected():
    text = swap(IEXEC, "pip3 install eth_abi", "python3 -m venv /opt/venv")
    assert [item[:2] for item in found(text, FILES) if "virtual environment" in item[2]] == [("warning", 3)]
    stood_in = found(text, FILES, stand_in=True)
    assert [item[:2] for item in stood_in if "virtual environment" in item[2]] == [("error", 3)]
