"""What a Dockerfile may ask that the engine's build interface cannot give, named before the build starts."""

from __future__ import annotations

import re
from typing import Literal

from workflows.containers.dockerfile import directives, instructions
from workflows.containers.engine import Engine
from workflows.core.failure import Failed

_SESSION = re.compile(r"\s--mount=(?:\S*,)?type=(secret|ssh)\b")
_HEREDOCS_SINCE = 23  # Docker 23 brought a BuildKit whose own frontend reads heredocs (20.10 does not)


def check(text: str, kind: Literal["buildkit", "classic"], engine: Engine) -> None:
    """Raises Failed (`build_needs_session`, `build_needs_buildkit`, `build_heredoc`) with line and remedy."""
    own_reader = kind == "classic" or "syntax" not in directives(text)
    for one in instructions(text):
        session = _SESSION.search(one.text) if one.keyword == "RUN" else None
        if session:
            raise Failed(
                f"line {one.line}: RUN --mount=type={session[1]} needs a build session, and the engine's API "
                "gives none",
                "give secrets to the app when it runs (push_secrets does), or build it yourself with "
                f"`docker buildx build --{session[1]} …` and go on with --image",
                name="build_needs_session",
            )
        if kind == "classic" and one.keyword == "RUN" and re.search(r"\s--mount=", one.text):
            raise Failed(
                f"line {one.line}: RUN --mount needs BuildKit; this is the classic builder",
                "build with --builder buildkit, or take the mount out",
                name="build_needs_buildkit",
            )
        if one.heredocs and own_reader and not _reads_heredocs(kind, engine):
            raise Failed(
                f"line {one.line}: the heredoc <<{one.heredocs[0]} is unknown to the builder of "
                f"{engine.kind} {engine.version}",
                f"put its text into a file and COPY it, or use an engine from version {_HEREDOCS_SINCE} on",
                name="build_heredoc",
            )


def _reads_heredocs(kind: str, engine: Engine) -> bool:
    if engine.kind == "podman":
        return True
    major = re.match(r"\d+", engine.version)
    return kind == "buildkit" and (major is None or int(major[0]) >= _HEREDOCS_SINCE)
