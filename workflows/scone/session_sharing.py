"""How a session names others: to whom it exports a secret or a volume, and where it imports one from.

https://sconedocs.github.io/CAS_session_lang_0_3/#referencing-other-sessions. Names that begin with `./` or `../`
start at the session that they stand in; what is read is always the whole name.
"""

from __future__ import annotations

import yaml

from workflows.scone import session_model as s
from workflows.scone.session_fields import HEX64, Fields, refuse, shown

NOT_PASSED_ON = "what is imported stays its exporter's, who alone passes it on"
_ELSEWHERE = "sessions of another CAS are not reached from here"
_REFUSED = dict.fromkeys(("cas_url", "cas_key", "cas_software_key"), _ELSEWHERE)
_TAG_POLICY = "no_rollback_protection"


def exports(fields: Fields, own: str) -> tuple[s.Export, ...]:
    """To whom a secret of the session `own` goes."""
    return tuple(_export(_reference(node), own) for node in fields.one_or_more("export"))


def volume_exports(fields: Fields, own: str) -> tuple[s.Export, ...]:
    """To whom a volume goes, and by which name if not its own."""
    return tuple(_volume_export(node, own) for node in fields.one_or_more("export"))


def source(fields: Fields, own: str, what: str) -> s.Import | None:
    """Where a secret or a volume (`what`) comes from, if it is imported."""
    if not fields.has("import"):
        return None
    reference = _reference(fields.node("import"), "an import")
    session = _session(reference, "session", own)
    found = s.Import(session, reference.name(what, s.LOCAL_NAME), reference.hex("session_hash", HEX64))
    reference.end()
    return found


def _volume_export(node: yaml.Node, own: str) -> s.Export:
    outer = _reference(node)
    if not outer.has("to"):
        inner, alias = outer, None
    else:
        inner = _reference(outer.node("to"))
        alias = outer.name("volume_alias", s.LOCAL_NAME) if outer.has("volume_alias") else None
        outer.served("update_policy", _TAG_POLICY)
        outer.end()
    found = _export(inner, own, alias)
    if found.namespace:
        refuse(node, "volumes are not exported to namespaces")
    return found


def _reference(node: yaml.Node, what: str = "an export") -> Fields:
    if isinstance(node, yaml.ScalarNode):
        refuse(node, "the short form of a session is not served: write session: NAME")
    return Fields(node, what, _REFUSED)


def _export(reference: Fields, own: str, alias: str | None = None) -> s.Export:
    namespace = reference.has("namespace")
    if namespace == reference.has("session"):
        reference.end()
        refuse(reference.self, "an export needs session or namespace, one of them")
    session = _session(reference, "namespace" if namespace else "session", own)
    digest = reference.hex("session_hash", HEX64)
    if namespace and digest:
        refuse(reference.self, "session_hash does not go with namespace")
    reference.end()
    return s.Export(session, digest, namespace, alias)


def _session(reference: Fields, field: str, own: str) -> str:
    """A session's whole name."""
    written = reference.text(field, required=True)
    parts = written.split("/")
    place = own.split("/") if parts[0] in (".", "..") else []
    while parts and parts[0] in (".", ".."):
        if parts.pop(0) == "..":
            if not place:
                refuse(reference.node(field), f"{shown(written)} leads out of all sessions")
            place.pop()
    whole = "/".join(place + parts)
    if not whole:
        refuse(reference.node(field), f"{shown(written)} leads out of all sessions")
    if not s.NAME.fullmatch(whole):
        refuse(reference.node(field), f"{shown(written)} is not a name (1 to 128 of A-Z a-z 0-9 _ - . ~)")
    return whole
