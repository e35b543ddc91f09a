"""May this enclave have this service's secrets? And what it gets when it may.

REPORTDATA binds a quote to one connection:
SHA-256(nonce ‖ config id ‖ SHA-256(certificate of CAS)) ‖ 32 zeros.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
from collections.abc import Callable
from typing import Any

from workflows.core.text import clean
from workflows.localnet.cas.secrets import Values
from workflows.localnet.cas.sharing import NotShared
from workflows.localnet.cas.store import Refused, SessionStore, Stored
from workflows.scone.session_model import Image, Injected, Rule, Service, Session
from workflows.sgx.quote import BadQuote, Quote


class AttestationFailed(Exception):  # noqa: N818 - reads as a sentence where it is raised
    """No secrets for this enclave; the text goes to its launcher."""


Verify = Callable[[bytes], Quote]


def report_data(nonce: bytes, config_id: str, certificate: bytes) -> bytes:
    """The 64 bytes that a quote for this connection must carry."""
    bound = nonce + config_id.encode() + hashlib.sha256(certificate).digest()
    return hashlib.sha256(bound).digest() + bytes(32)


def attest(
    store: SessionStore, verify: Verify, nonce: bytes, certificate: bytes, config_id: str, quote: bytes
) -> dict[str, Any]:
    """The configuration of the service that the quote proves. AttestationFailed otherwise. Blocks."""
    asked = _asked(config_id)
    try:
        proven = verify(quote)
    except BadQuote as error:
        raise AttestationFailed(f"the quote does not verify: {clean(error.message)}") from None
    if not hmac.compare_digest(proven.report_data, report_data(nonce, config_id, certificate)):
        raise AttestationFailed(
            "the quote was made for another connection: its REPORTDATA does not fit the nonce"
        )
    try:  # only now: who shows no good quote learns nothing of sessions
        return _served(store, *_wanted(store, *asked), proven)
    except Refused as error:
        raise AttestationFailed(error.message) from None


def _served(store: SessionStore, found: Stored, service: Service, proven: Quote) -> dict[str, Any]:
    """What a service gets when its session lets this enclave be it."""
    if found.session.attestation.mode != "none":
        _check_identity(found.session.name, service, proven)
        _check_debug(found.session, proven)
    return _configuration(store, found, service)


def _asked(config_id: str) -> tuple[str, str]:
    """Session and service of a config id."""
    session, _, name = config_id.rpartition("/")
    if not session or not name:
        raise AttestationFailed(f"SCONE_CONFIG_ID {clean(config_id)[:80]!r} is not <session>/<service>")
    return session, name


def _wanted(store: SessionStore, session: str, name: str) -> tuple[Stored, Service]:
    found = store.get(session)
    if found is None:
        raise AttestationFailed(f'session "{clean(session)}" not found')
    service = found.session.service(name)
    if service is None:
        names = ", ".join(s.name for s in found.session.services)
        raise AttestationFailed(f'session "{clean(session)}" has no service "{clean(name)}"; it has {names}')
    return found, service


def _check_identity(session: str, service: Service, proven: Quote) -> None:
    """One rule must hold, with all that it names."""
    refusals = [_complaint(session, service, rule, proven) for rule in service.rules]
    if "" not in refusals:
        raise AttestationFailed("; ".join(dict.fromkeys(refusals)) or f"service {service.name} has no rule")


def _complaint(session: str, service: Service, rule: Rule, proven: Quote) -> str:
    """Why the enclave does not fit this rule; empty when it does."""
    if rule.mrenclaves and proven.mrenclave not in rule.mrenclaves:
        return (
            f'MRENCLAVE mismatch for service "{service.name}" of session "{session}": '
            f"expected {' or '.join(rule.mrenclaves)}, actual {proven.mrenclave}"
        )
    signer, report = rule.signer, proven.report
    if signer is None:
        return ""
    if (proven.mrsigner, report.isv_prod_id) != (signer.mrsigner, signer.isvprodid):
        return (
            f'signer mismatch for service "{service.name}" of session "{session}": '
            f"expected MRSIGNER {signer.mrsigner} ISVPRODID {signer.isvprodid}, "
            f"actual {proven.mrsigner} ISVPRODID {report.isv_prod_id}"
        )
    if not signer.least <= report.isv_svn <= signer.most:
        wanted = str(signer.least) if signer.least == signer.most else f"{signer.least} to {signer.most}"
        return f"the enclave's ISVSVN is {report.isv_svn}, expected {wanted}"
    return ""


def _check_debug(session: Session, proven: Quote) -> None:
    if proven.report.debug and "debug-mode" not in session.attestation.tolerate:
        raise AttestationFailed(
            f'the enclave runs in debug mode, which session "{session.name}" does not tolerate'
        )


def _configuration(store: SessionStore, found: Stored, service: Service) -> dict[str, Any]:
    image = found.session.image(service)
    try:
        values = store.values(found)
        files = [_file(file, values) for file in image.injection_files]
        return {
            "command": [values.text(word) for word in service.words],
            "environment": {name: values.text(value) for name, value in service.environment.items()},
            "pwd": service.pwd,
            "fspf_path": service.fspf_path,
            "fspf_key": service.fspf_key,
            "fspf_tag": service.fspf_tag,
            "volumes": [
                {"name": m.name, "path": m.path, "key": store.volume_key(found, m.name)}
                for m in image.volumes
            ],
            "files": files,
            "secrets": _provided(image, values),
        }
    except NotShared as error:
        raise AttestationFailed(str(error)) from None
    except LookupError as error:  # an imported secret, or one posted before the language was as it is now
        raise AttestationFailed(f"a secret of the session is missing: {clean(str(error))}") from None


def _file(file: Injected, values: Values) -> dict[str, Any]:
    content = None if file.content is None else _base64(values.content(file.content))
    return {"path": file.path, "mode": file.permission, "content": content}


def _provided(image: Image, values: Values) -> dict[str, str]:
    """What the runtime may put into files of the image; nothing, when no such file is named."""
    if all(file.content is not None for file in image.injection_files):
        return {}
    return {name: _base64(value) for name, value in values.every(image.provide_secrets).items()}


def _base64(data: bytes) -> str:
    return base64.b64encode(data).decode()
