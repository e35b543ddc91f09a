"""What the answers of an SMS mean, in the words of a Failed; a secret that an answer repeats is left out."""

from __future__ import annotations

from workflows.core.failure import Failed, Unavailable
from workflows.core.text import clean
from workflows.iexec import web

MAX_SIZE = 4096
STORED = "It may have been stored all the same. Look: creamtea secrets audit"


def refused(reply: web.Reply, value: str, what: str, signer: str, owner: str) -> Failed:
    """A push that was not taken: what the status means for `what`, signed by `signer` for `owner`."""
    status, said = reply.status, _said(reply, value)
    where = web.shown(reply.url)
    if status == 401:
        whose = (
            "sign with that very wallet"
            if signer == owner
            else f"sign with the owner of {owner} on its chain"
        )
        return Failed(
            f"the SMS does not let {signer} set {what}",
            f"Check --wallet and the network: {whose}.",
            name="not_allowed",
        )
    if status == 413 or (status == 400 and "size" in said.lower()):
        message = f"{what} is larger than the {MAX_SIZE} bytes that the SMS takes"
        return Failed(message, "Shorten it.", name="secret_too_large")
    if status == 404:
        message = f"the SMS finds nothing to change: it has no {what.removeprefix('the ')}"
        return Failed(message, "Push it as a new one.", name="absent")
    if 300 <= status < 400:
        return Failed(
            f"{where} sends us elsewhere ({status}), and a secret is never sent after a redirect",
            "Find out the SMS's real address and use it.",
            name="redirected",
        )
    if status == 503:
        message = f"the SMS is down for maintenance{said}"
        return Unavailable(message, "Nothing was stored; try again later.", name="maintenance")
    if status >= 500:
        return Unavailable(f"the SMS has an internal error ({status}){said}", STORED, name="sms_error")
    return Failed(
        f"the SMS refuses {what} ({status}){said}", "Check the network's SMS URL.", name="sms_refused"
    )


def exists(what: str, there: bool | None) -> Failed:
    """A 409, which has two reasons; `there` is what the SMS said when asked once more, None for no answer."""
    if there is False:
        return Failed(
            f"the SMS says that {what} exists (409), yet does not find it: most likely its database failed",
            "It answers 409 for that too. Nothing was stored; try again in some minutes.",
            name="sms_database",
        )
    return Failed(
        f"the SMS already has {what}, which can never be changed or read back; or its database failed, "
        "which has the same answer (409)",
        "If it is the right one, all is well. If not, deploy the object anew or use another secret name. "
        "If nobody pushed one, try again later.",
        name="secret_exists",
    )


def strange(reply: web.Reply) -> Unavailable:
    """An answer that no SMS gives."""
    where = web.shown(reply.url)
    if reply.status == 503:
        return Unavailable(
            f"the SMS is down for maintenance ({where})", "Try again later.", name="maintenance"
        )
    page = ", a web page" if reply.body.lstrip()[:1] == b"<" else ""
    return Unavailable(
        f"{where} does not answer as an SMS does (status {reply.status}{page})",
        "Check the network's SMS URL: the service sits at the root of its own address.",
        name="no_sms",
    )


def _said(reply: web.Reply, value: str) -> str:
    """What the SMS says itself, unless it repeats the secret."""
    try:
        errors = reply.json()["error"]
        text = ", ".join(map(str, errors)) if isinstance(errors, list) else str(errors)
    except (Failed, LookupError, TypeError):
        text = "" if reply.body.lstrip()[:1] == b"<" else reply.text()
    text = clean(text)[:200]
    return f": {text}" if text and value not in text and text not in value else ""
