"""The `params` document of a request order, as SDK 8.24 writes and iexec-commons-poco reads it."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any

from workflows.core.failure import Failed
from workflows.core.text import clean, shorten

STORAGE_PROVIDERS = ("ipfs", "dropbox")
# SDKs until 5 wrote them, and the servers of then (iexec-common 5.3, DealParams) read them.
_OF_2021 = (
    "iexec_developer_logger",
    "iexec_tee_post_compute_image",
    "iexec_tee_post_compute_fingerprint",
)
SECRET_NAME = re.compile(r"[0-9A-Za-z_-]{1,64}\Z")
_URL = re.compile(r"https?://[^\s/]+\S*\Z")


@dataclass(frozen=True, kw_only=True)
class Params:
    """Arguments, input files and result settings of every task of a deal.

    `secrets` maps the number an app sees (IEXEC_REQUESTER_SECRET_n, from 1) to the name in the SMS.
    """

    args: str = ""
    input_files: tuple[str, ...] = ()
    secrets: Mapping[int, str] = field(default_factory=lambda: MappingProxyType({}))
    result_encryption: bool = False
    storage_provider: str | None = None
    storage_proxy: str | None = None
    bulk_cid: str | None = None

    @property
    def brings_in(self) -> bool:
        """Whether there is something to bring in before the app runs, beside a dataset."""
        return bool(self.input_files) or self.bulk_cid is not None

    def to_mapping(self) -> dict[str, Any]:
        """The JSON object with SDK key names; what is at its default stays out."""
        document: dict[str, Any] = {}
        if self.args:
            document["iexec_args"] = self.args
        if self.input_files:
            document["iexec_input_files"] = list(self.input_files)
        if self.secrets:
            document["iexec_secrets"] = {str(index): self.secrets[index] for index in sorted(self.secrets)}
        if self.result_encryption:
            document["iexec_result_encryption"] = True
        for key, value in (
            ("iexec_result_storage_provider", self.storage_provider),
            ("iexec_result_storage_proxy", self.storage_proxy),
            ("bulk_cid", self.bulk_cid),
        ):
            if value is not None:
                document[key] = value
        return document

    def to_text(self) -> str:
        """The string that goes into the order and its hash."""
        return json.dumps(self.to_mapping(), ensure_ascii=False, separators=(",", ":"))


def build(
    *,
    args: str = "",
    input_files: tuple[str, ...] | list[str] = (),
    secrets: Mapping[int, str] | None = None,
    result_encryption: bool = False,
    storage_provider: str | None = "ipfs",
    callback: bool = False,
) -> Params:
    """Parameters of a TEE request, checked; the storage provider is left out for a callback."""
    params = Params(
        args=args,
        input_files=tuple(input_files),
        secrets=MappingProxyType(dict(secrets or {})),
        result_encryption=result_encryption,
        storage_provider=None if callback else storage_provider,
    )
    return validate(params.to_mapping())


def validate(document: Any, *, tee: bool = True) -> Params:
    """The parameters of a JSON object, every key known and of its type; Failed names the offending key."""
    if not isinstance(document, Mapping):
        raise _bad("params", "is not a JSON object")
    for key in document:
        if key not in _READERS:
            raise _bad(str(key), "is not known")
    values = {_FIELDS[key]: _READERS[key](key, value) for key, value in document.items()}
    params = Params(**values)
    if not tee and params.secrets:
        raise _bad("iexec_secrets", "needs a TEE task")
    if not tee and params.storage_provider == "dropbox":
        raise _bad("iexec_result_storage_provider", '"dropbox" needs a TEE task')
    return params


def parse_strict(text: str, *, tee: bool = True) -> Params:
    """The parameters of a JSON text, checked as `validate` does."""
    try:
        document = json.loads(text)
    except ValueError:
        raise _bad("params", "is not JSON") from None
    return validate(document, tee=tee)


def parse(text: str, fingerprint: bytes = b"") -> Params:
    """The parameters as the servers read them: a text that is not the JSON they know is the arguments.

    An unknown key makes it "not the JSON they know"; for the `fingerprint` of an app in one of the forms with
    bars, the servers of 2021 knew three more. What stands behind the JSON is not read, and numbers of secrets that
    are no positive integer are dropped, as the SMS does.
    """
    try:
        document, _ = _JACKSON.raw_decode(text.lstrip(" \t\r\n"))
        if not isinstance(document, dict):
            raise ValueError("not the document")
        if fingerprint and not fingerprint.startswith(b"{"):
            document = {key: value for key, value in document.items() if key not in _OF_2021}
        if not set(document) <= set(_READERS):
            raise ValueError("not the document")
        known = {key: value for key, value in document.items() if value is not None}
        secrets = known.get("iexec_secrets", {})
        files = known.get("iexec_input_files", [])
        if not isinstance(secrets, dict) or not isinstance(files, list):
            raise ValueError("wrong shape")
        return Params(
            args=_scalar(known.get("iexec_args", "")),
            input_files=tuple(_scalar(item) for item in files),
            secrets=MappingProxyType(
                {int(key): _secret_name(name) for key, name in secrets.items() if _is_number(key)}
            ),
            result_encryption=_flag(known.get("iexec_result_encryption", False)),
            storage_provider=_optional(known.get("iexec_result_storage_provider")),
            storage_proxy=_optional(known.get("iexec_result_storage_proxy")),
            bulk_cid=bulk if (bulk := _optional(known.get("bulk_cid"))) and bulk.strip() else None,
        )
    except (ValueError, RecursionError):
        return Params(args=text)


def _bad(key: str, why: str) -> Failed:
    name = shorten(clean(key), 40, 10)
    return Failed(
        f"request parameters: {name} {why}",
        f"The keys are {', '.join(_READERS)}.",
        name="invalid_params",
    )


def _is_number(key: str) -> bool:
    """Whether a secret's key is a positive decimal integer of Java, written as Java would write it."""
    return re.fullmatch("[1-9][0-9]{0,9}", key) is not None and int(key) < 1 << 31


def _scalar(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str | int):
        return str(value)
    raise ValueError("not a text")


def _secret_name(value: Any) -> str:
    return "" if value is None else _scalar(value)  # a name that no secret has


def _optional(value: Any) -> str | None:
    return None if value is None else _scalar(value)


def _flag(value: Any) -> bool:
    if isinstance(value, bool | int):
        return bool(value)
    if isinstance(value, str) and value.strip() in _FLAGS:
        return _FLAGS[value.strip()]
    raise ValueError("not a boolean")


def _no_constant(name: str) -> Any:
    raise ValueError(name)  # NaN and its like are no JSON


# Numbers with a point stay as they are written: where a text is wanted, Jackson takes them so.
_JACKSON = json.JSONDecoder(parse_float=str, parse_constant=_no_constant)
_FLAGS = {
    name: name.lower() == "true" for name in ("true", "True", "TRUE", "false", "False", "FALSE", "", "null")
}


def _read_text(key: str, value: Any) -> str:
    if not isinstance(value, str):
        raise _bad(key, "is not a text")
    return value


def _read_flag(key: str, value: Any) -> bool:
    if not isinstance(value, bool):
        raise _bad(key, "is neither true nor false")
    return value


def _read_url(key: str, value: Any) -> str:
    if not isinstance(value, str) or not _URL.match(value):
        raise _bad(key, "is not an http or https URL")
    return value


def _read_files(key: str, value: Any) -> tuple[str, ...]:
    if not isinstance(value, list | tuple):
        raise _bad(key, "is not a list of URLs")
    return tuple(_read_url(f"{key}[{index}]", item) for index, item in enumerate(value))


def _read_secrets(key: str, value: Any) -> Mapping[int, str]:
    if not isinstance(value, Mapping):
        raise _bad(key, "is not an object of number to name")
    secrets: dict[int, str] = {}
    for number, name in value.items():
        if not isinstance(number, str) or not _is_number(number):
            raise _bad(f"{key}.{number}", "is not a positive whole number; the SMS would drop it silently")
        if not isinstance(name, str) or not SECRET_NAME.match(name):
            raise _bad(f"{key}.{number}", "is not a secret's name: 1 to 64 of 0-9 A-Z a-z - _")
        secrets[int(number)] = name
    return MappingProxyType(secrets)


def _read_provider(key: str, value: Any) -> str:
    if value not in STORAGE_PROVIDERS:
        raise _bad(key, f"is none of {', '.join(STORAGE_PROVIDERS)}")
    return str(value)


_READERS: dict[str, Callable[[str, Any], Any]] = {
    "iexec_args": _read_text,
    "iexec_input_files": _read_files,
    "iexec_secrets": _read_secrets,
    "iexec_result_encryption": _read_flag,
    "iexec_result_storage_provider": _read_provider,
    "iexec_result_storage_proxy": _read_url,
    "bulk_cid": _read_text,
}
_FIELDS = {
    "iexec_args": "args",
    "iexec_input_files": "input_files",
    "iexec_secrets": "secrets",
    "iexec_result_encryption": "result_encryption",
    "iexec_result_storage_provider": "storage_provider",
    "iexec_result_storage_proxy": "storage_proxy",
    "bulk_cid": "bulk_cid",
}
