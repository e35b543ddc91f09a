"""What makes builds differ is told before the build, by line; what is pinned is left in peace."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from workflows.scone import catalogue, dockerfile, lint_reproducible, samples
from workflows.scone.lint_reproducible import check, requirements
from workflows.scone.project import look

DIGEST = "@sha256:" + "ab" * 32
BASE = f"FROM registry.example/python:3.10{DIGEST}\n"
FILES = ["requirements.txt", "app.py", "deep/more.txt"]


def said(
    line: str, files: list[str] = FILES, texts: dict[str, str] | None = None, base: str = BASE
) -> list[str]:
    found = check(base + line + "\n", files, read=(texts or {}).get)
    assert all(one.hint and one.line == 2 for one in found if base == BASE)
    return [f"{one.level}: {one.text}" for one in found]


@pytest.mark.parametrize(
    ("line", "text"),
    [
        ("RUN apk add bash", "warning: apk add without versions: bash"),
        ("RUN apk add --no-cache -t deps gcc=10.2 git", "warning: apk add without versions: git"),
        ("RUN apk -U upgrade", "warning: apk upgrade takes the packages of the day"),
        (
            "RUN apt-get update && apt-get install -y --no-install-recommends curl git=1:2 && rm -rf /var",
            "warning: apt-get install without versions: curl",
        ),
        ("RUN pip install flask numpy==1.2", "warning: pip install without versions: flask"),
        ("RUN SCONE_MODE=sim pip3 install 'flask>=2'", "warning: pip install without versions: flask>=2"),
        (
            "RUN python3 -m pip install -i https://x/simple flask",
            "warning: pip install without versions: flask",
        ),
        ("RUN env A=1 pip install flask", "warning: pip install without versions: flask"),
        ("RUN pip install a==1", "info: pip compiles with the time of each file in it"),
        ("RUN npm install", "warning: npm install may take newer packages than the last time"),
        ("RUN npm i -g pm2 @scope/x@1.2", "warning: npm i without versions: pm2"),
        ("RUN yarn", "warning: yarn install may take newer packages than the last time"),
        (
            "RUN curl -fsSL https://x.example/install.sh | sh",
            "warning: curl fetches, and nothing compares what comes",
        ),
        (
            "RUN cd /x && wget http://x.example/y.tgz",
            "warning: wget fetches, and nothing compares what comes",
        ),
        ("RUN git clone https://x.example/y.git", "warning: git fetches, and nothing compares what comes"),
        ("RUN date > /app/built", "warning: date puts the time into the build"),
        ("RUN echo $(date) > /app/built", "warning: a time or a random number gets into the image"),
        ("RUN head -c 8 /dev/urandom > /app/salt", "warning: a time or a random number gets into the image"),
        (
            "ADD https://x.example/y.tgz /y",
            "warning: ADD https://x.example/y.tgz takes what the server gives",
        ),
        ("COPY . /app", "info: COPY . takes whatever lies in the folder"),
        ("COPY ./ /app", "info: COPY ./ takes whatever lies in the folder"),
        ("COPY --from=golang:1.22 /x /x", "info: the tag golang:1.22 can be moved to another image"),
        ("COPY --from=golang:latest /x /x", "warning: golang:latest floats"),
    ],
)
def test_what_differs_from_build_to_build(line: str, text: str) -> None:
    assert any(one.startswith(text) for one in said(line))


@pytest.mark.parametrize(
    "line",
    [
        "RUN apk add --no-cache bash=5.1.0 git~2.30",
        "RUN SOURCE_DATE_EPOCH=315619200 pip3 install --no-cache-dir a==1 b===2",
        "RUN pip install --no-compile -t /lib --index-url https://x/simple a==1",
        "RUN pip install --no-compile . ./wheels/a-1-py3-none-any.whl",
        f"RUN curl -O https://x.example/y && echo '{'ab' * 32}  y' | sha256sum -c",
        f"RUN git clone https://x.example/y && cd y && git checkout {'ab' * 20}",
        f"ADD --checksum=sha256:{'ab' * 32} https://x.example/y.tgz /y",
        "RUN npm ci",
        "RUN npm i -g pm2@5.3.0",
        "RUN yarn install --frozen-lockfile",
        "RUN update-rc.d x && echo dated",
        "COPY app.py requirements.txt /app/",
        f"COPY --from=golang:1.22{DIGEST} /x /x",
        "COPY --from=build /x /x",
    ],
)
def test_what_repeats_is_left_in_peace(line: str) -> None:
    assert said(line) == []


def test_what_lies_in_the_folder_is_named() -> None:
    found = said("COPY . /app", ["app.py", ".env", "__pycache__/a.pyc"])
    assert found == [
        "warning: COPY . takes whatever lies in the folder, now .env, __pycache__/a.pyc: each changes the FSPF tag"
    ]


@pytest.mark.parametrize(
    ("text", "starts"),
    [
        (
            "flask>=2\n# a comment\nrequests==2.1  # why\n",
            "warning: requirements.txt leaves the version open: flask",
        ),
        ("flask==2.*\n", "warning: requirements.txt leaves the version open: flask"),
        ("flask==2.0\n", "info: requirements.txt has versions and no hashes: flask"),
        ("flask\n", "warning: requirements.txt leaves the version open: flask"),
    ],
)
def test_requirements_are_read(text: str, starts: str) -> None:
    line = "RUN pip install --no-compile -r /build/requirements.txt"
    assert any(one.startswith(starts) for one in said(line, texts={"requirements.txt": text}))


def test_pinned_requirements() -> None:
    hashed = f"flask==2.0 \\\n    --hash=sha256:{'ab' * 32}\n-r more.txt\n--index-url https://x\n"
    assert said("RUN pip install --no-compile -r requirements.txt", texts={"requirements.txt": hashed}) == []
    assert said("RUN pip install --no-compile -r /x/none.txt") == []
    assert requirements("a==1\nb[x]>=2 ; python_version<'3'\nc @ file:///c.whl\n") == [
        ("a", True, False), ("b", False, False), ("c", True, False),
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("base", "level"),
    [
        ("python", "warning"),
        ("python:latest", "warning"),
        ("registry.scontain.com/sconecuratedimages/python:3-alpine", "warning"),
        (catalogue.default("python").reference, "info"),
        ("python:3.10", "info"),
    ],
)
def test_bases(base: str, level: str) -> None:
    found = check(f"FROM {base} AS one\nFROM one\nRUN true\n")
    assert [(one.level, one.line) for one in found] == [(level, 1)]
    assert "@sha256:" in found[0].hint


def test_an_epoch_for_the_whole_stage() -> None:
    text = BASE + "ENV SOURCE_DATE_EPOCH=315619200\nFROM scratch\n"
    assert check(text.replace("FROM scratch\n", "RUN pip install a==1\n")) == []


@pytest.mark.parametrize("language", ["python", "node"])
def test_our_own_drafts_repeat(tmp_path, language: str) -> None:
    folder = samples.unpack(tmp_path / "app", language)
    project = look(folder)
    text = dockerfile.draft(project, catalogue.default(language))
    found = check(text, project.files, read=lambda path: (folder / path).read_text())
    assert [one.text for one in found if "npm" not in one.text and "bash" not in one.text] == [
        f"the tag {catalogue.default(language).reference} can be moved to another image, a digest cannot"
    ]


@given(
    st.text(alphabet="RUNCOPYADFM apkinstl -=$()'\"|&;\\\n./:@#", max_size=200), st.lists(st.text(max_size=8))
)
def test_any_dockerfile_is_judged(text: str, files: list[str]) -> None:
    for finding in check(BASE + text, files, read=lambda path: text):
        assert finding.text.isprintable() and finding.hint


def test_findings_are_sorted_and_told_once() -> None:
    found = lint_reproducible.check("FROM python:3\nRUN pip install a\nRUN apk add b && apk add b\n")
    assert [one.level for one in found] == ["warning", "warning", "info", "info"]
