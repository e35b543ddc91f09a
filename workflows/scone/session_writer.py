"""From a session to its YAML text, in the order in which iExec's SMS writes one."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from workflows.scone.session_model import (
        Export,
        Image,
        Import,
        Injected,
        Rule,
        Secret,
        Service,
        Session,
        Signer,
        Volume,
    )


def render(session: Session) -> str:
    """The YAML text of a session; `parse(render(s)) == s` for a valid one."""
    import yaml

    return str(
        yaml.dump(to_document(session), Dumper=_dumper(), sort_keys=False, allow_unicode=True, width=1 << 20)
    )


def to_document(session: Session) -> dict[str, Any]:
    """The session as plain dictionaries, lists, texts and numbers; what is at its default stays out."""
    policies = {
        name: _listed(getattr(session, name))
        for name in ("read", "update", "create_sessions", "list_sessions")
    }
    rules = session.attestation
    document = {
        "name": session.name,
        "version": session.version,
        "access_policy": _present(policies),
        "predecessor": session.predecessor,
        "namespace_hash": session.namespace_hash,
        "salt": session.salt,
        "services": [_service(service) for service in session.services],
        "images": [_image(image) for image in session.images],
        "volumes": [_volume(volume) for volume in session.volumes],
        "secrets": [_secret(secret) for secret in session.secrets] or None,
        "security": {
            "attestation": _present(
                {
                    "tolerate": list(rules.tolerate),
                    "ignore_advisories": _advisories(rules.ignore_advisories),
                    "mode": rules.mode if rules.mode != "hardware" else None,
                    "url": rules.url,
                }
            )
        },
    }
    return _present(document)


def _service(service: Service) -> dict[str, Any]:
    document: dict[str, Any] = {"name": service.name, "image_name": service.image_name or None}
    if service.attestation:
        document["attestation"] = [_rule(rule) for rule in service.attestation]
    elif service.mrenclaves:
        document["mrenclaves"] = list(service.mrenclaves)
    command = service.command if isinstance(service.command, str) else list(service.command)
    return _present(
        document
        | {
            "pwd": service.pwd,
            "command": command or None,
            "fspf_path": service.fspf_path,
            "fspf_key": service.fspf_key,
            "fspf_tag": service.fspf_tag,
            "environment": dict(service.environment),
        }
    )


def _rule(rule: Rule) -> dict[str, Any]:
    signer = _signer(rule.signer) if rule.signer else None
    return _present({"mrenclave": _listed(rule.mrenclaves or None), "signer": signer})


def _signer(signer: Signer) -> dict[str, Any]:
    document: dict[str, Any] = {"mrsigner": signer.mrsigner, "isvprodid": signer.isvprodid}
    if signer.least == signer.most:
        return document | {"isvsvn": signer.least}
    return document | {"isvsvn_min": signer.least, "isvsvn_max": signer.most}


def _image(image: Image) -> dict[str, Any]:
    return _present(
        {
            "name": image.name,
            "volumes": [{"name": mount.name, "path": mount.path} for mount in image.volumes],
            "injection_files": [_injected(file) for file in image.injection_files] or None,
            "provide_secrets": _listed(image.provide_secrets),
        }
    )


def _injected(file: Injected) -> dict[str, Any]:
    return _present({"path": file.path, "permission": f"0o{file.permission:03o}", "content": file.content})


def _secret(secret: Secret) -> dict[str, Any]:
    """Only the fields that its kind knows."""
    from workflows.scone.session_secrets import FIELDS

    document: dict[str, Any] = {"name": secret.name, "kind": secret.kind or None}
    if secret.source:
        return _present(document | {"import": _import(secret.source, "secret")})
    for name in FIELDS[secret.kind]:
        value = getattr(secret, name)
        if not (secret.value is not None and name == "size"):
            document[name] = list(value) or None if isinstance(value, tuple) else value
    exports = [_export(export) for export in secret.export] or None
    return _present(document | {"export": exports, "export_public": secret.export_public or None})


def _volume(volume: Volume) -> dict[str, Any]:
    exports = [_present({"to": _export(export), "volume_alias": export.alias}) for export in volume.export]
    source = _import(volume.source, "volume") if volume.source else None
    return _present(
        {"name": volume.name, "fspf_key": volume.fspf_key, "import": source, "export": exports or None}
    )


def _export(export: Export) -> dict[str, Any]:
    field = "namespace" if export.namespace else "session"
    return _present({field: export.session, "session_hash": export.session_hash})


def _import(source: Import, what: str) -> dict[str, Any]:
    document = {"session": source.session, what: source.name, "session_hash": source.session_hash}
    return _present(document)


def _listed(values: tuple[str, ...] | None) -> list[str] | None:
    return None if values is None else list(values)


def _advisories(values: tuple[str, ...]) -> str | list[str]:
    return "*" if values == ("*",) else list(values)


def _present(document: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in document.items() if value is not None}


def _dumper() -> type:
    """A dumper that quotes every string, so that `1e10`, `no` or digits stay text; it writes no aliases."""
    import yaml

    class Quoting(yaml.SafeDumper):
        def ignore_aliases(self, data: Any) -> bool:
            return True

    Quoting.add_representer(
        str, lambda dumper, text: dumper.represent_scalar("tag:yaml.org,2002:str", text, style='"')
    )
    return Quoting
