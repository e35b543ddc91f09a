"""The command `explain`."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping
from typing import Any

from workflows.core.command import Argument, Command, Emit, Result
from workflows.core.failure import Missing
from workflows.core.text import clean


class Explain(Command):
    """What a status, cause, revert code or message means, and what to do about it; or a word, such as SMS."""

    name = "explain"
    arguments = (
        Argument("text", "a name, a code, the message itself, or a word", metavar="NAME", many=True),
    )

    def run(self, options: Mapping[str, Any], emit: Emit) -> Result:
        from workflows.iexec import causes, words

        text = " ".join(options["text"]).strip()
        if not text:
            raise Missing(
                "explain needs a name, a code or a message",
                "creamtea explain APP_COMPUTE_FAILED",
                name="usage",
            )
        found, word = causes.explain(text), words.find(text)
        return Result(
            {
                "asked": clean(text),
                "explanations": [dataclasses.asdict(one) for one in found],
                "word": None if word is None else dataclasses.asdict(word),
                "near": [] if found or word else causes.near(text, also=words.spellings()),
            },
            0 if found or word else 1,
        )

    def lines(self, document: Mapping[str, Any]) -> Iterable[str]:
        if (word := document["word"]) is not None:
            yield f"{word['name']}  ({word['long']})" if word["long"] else word["name"]
            yield f"  {word['meaning']}"
            yield f"  see      {', '.join(word['see'])}"
            yield f"  source   {word['source']}"
        for one in document["explanations"]:
            yield f"{one['name']}  ({one['group']})"
            yield f"  {one['meaning']}"
            yield f"  look at  {one['look']}"
            yield f"  do       {one['do']}"
            if one["command"]:
                yield f"  $ {one['command']}"
        if not document["explanations"] and word is None:
            yield f"nothing is known of {document['asked']!r}"
            if document["near"]:
                yield f"did you mean {', '.join(document['near'])}?"
            yield "it knows names of causes (what stands before the colon: APP_COMPUTE_FAILED), codes, messages"
            yield "and words such as SMS, deal or MRENCLAVE"
