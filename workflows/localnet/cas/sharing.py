"""What a session imports from others, looked up each time an enclave asks: an export may have ended since.

The exporter decides who gets it, the importer from which version of the exporter's session it takes it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import replace

from workflows.localnet.cas.secrets import Shared, Values
from workflows.scone.session_model import Export, Import, Secret, Session

# A session by its name, with its hash; None when it is not there.
Find = Callable[[str], "tuple[Session, str] | None"]
Open = Callable[[Session], Values]


class NotShared(LookupError):  # noqa: N818 - reads as a sentence where it is raised
    """A session does not get what it imports; the text says why."""


def secrets(importer: Session, digest: str, find: Find, values: Open) -> dict[str, Shared]:
    """The imported secrets of a session that has the hash `digest`, by the names that it gives them."""
    return {
        secret.name: _secret(importer.name, digest, secret, secret.source, find, values)
        for secret in importer.secrets
        if secret.source
    }


def volume(importer: str, digest: str, source: Import, find: Find) -> tuple[str, str]:
    """The exporter's session and its name for a volume that `importer` gets from it."""
    exporter = _exporter(source, find)
    for each in exporter.volumes:
        named = [export for export in each.export if (export.alias or each.name) == source.name]
        if _includes(named, importer, digest):
            return exporter.name, each.name
    raise _unshared(exporter.name, "volume", source.name, importer)


def _secret(importer: str, digest: str, wanted: Secret, source: Import, find: Find, values: Open) -> Shared:
    exporter = _exporter(source, find)
    known = {secret.name: secret for secret in exporter.secrets}
    found = known.get(source.name)
    if found is None or not _includes(found.export, importer, digest):
        raise _unshared(exporter.name, "secret", source.name, importer)
    if wanted.kind and wanted.kind != found.kind:
        raise NotShared(f"secret {wanted.name!r} that is imported is of kind {found.kind}, not {wanted.kind}")
    if found.private_key and not _includes(known[found.private_key].export, importer, digest):
        found = replace(found, private_key=None)
    return Shared(found, values(exporter))


def _exporter(source: Import, find: Find) -> Session:
    found = find(source.session)
    if found is None:
        raise NotShared(f'an import names session "{source.session}", which is not there')
    session, digest = found
    if source.session_hash and source.session_hash != digest:
        raise NotShared(f'an import names session "{source.session}", which is not at the hash that it names')
    return session


def _includes(exports: Iterable[Export], importer: str, digest: str) -> bool:
    return any(_names(export, importer, digest) for export in exports)


def _names(export: Export, importer: str, digest: str) -> bool:
    if export.namespace:
        return importer == export.session or importer.startswith(f"{export.session}/")
    return importer == export.session and export.session_hash in (None, digest)


def _unshared(exporter: str, kind: str, name: str, importer: str) -> NotShared:
    return NotShared(f'session "{exporter}" does not export {kind} "{name}" to session "{importer}"')
