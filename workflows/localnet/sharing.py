"""How a localnet is opened to other machines: an address, the host names it answers to, and TLS. Never without.

The certificate is the user's own, or one under the localnet's development root for the names given, which
others then have to be told to trust (`creamtea localnet export` does).
"""

from __future__ import annotations

import argparse
import ipaddress
import os
import re
import ssl
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from workflows.core.failure import Missing

if TYPE_CHECKING:
    from workflows.sgx.pki import Pki

_NAME = re.compile(r"(?=.{1,253}\Z)([a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?\.)*[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?")


@dataclass(frozen=True)
class Sharing:
    """`listen` is an IP address of this machine, `hosts` names or addresses, the first of them in the URLs.

    `certificate` and `key` are PEM files, both or neither; `ca` is what others have to trust for them, if they
    do not do so already.
    """

    listen: str
    hosts: tuple[str, ...]
    certificate: Path | None = None
    key: Path | None = None
    ca: Path | None = None

    @property
    def words(self) -> list[str]:
        """The same as options of the localnet's process."""
        found = ["--listen", self.listen]
        for host in self.hosts:
            found += ["--host", host]
        for option, path in (
            ("--tls-cert", self.certificate), ("--tls-key", self.key), ("--tls-ca", self.ca),
        ):  # fmt: skip
            found += [option, str(path)] if path else []
        return found


def add_options(parser: argparse.ArgumentParser) -> None:
    """The options that `Sharing.words` writes and `sharing` reads."""
    parser.add_argument("--listen")
    parser.add_argument("--host", action="append", default=[])
    parser.add_argument("--tls-cert")
    parser.add_argument("--tls-key")
    parser.add_argument("--tls-ca")


def sharing(options: Mapping[str, Any]) -> Sharing | None:
    """What `listen`, `host`, `tls_cert`, `tls_key` and `tls_ca` ask for; None where nobody is let in.

    Missing says which of them is wanting or wrong.
    """
    listen, hosts = options.get("listen"), tuple(options.get("host") or ())
    files = [options.get("tls_cert"), options.get("tls_key")]
    ca = options.get("tls_ca")
    if not listen:
        if hosts or any(files) or ca:
            raise _usage("--host and --tls-… are for a localnet that others reach: --listen ADDRESS")
        return None
    try:
        address = str(ipaddress.ip_address(listen))
    except ValueError:
        raise _usage(f"--listen takes an IP address of this machine, not {listen!r:.80}") from None
    if not hosts:
        raise _usage(
            "--listen needs the names or addresses under which others reach this machine: --host NAME"
        )
    names = tuple(dict.fromkeys(_host(host) for host in hosts))
    if any(files) and not all(files):
        raise _usage("--tls-cert and --tls-key belong together")
    if ca and not any(files):
        raise _usage("--tls-ca belongs to --tls-cert: the localnet's own certificate has the localnet's root")
    paths = [Path(str(file)).expanduser().resolve() if file else None for file in (*files, ca)]
    found = Sharing(address, names, *paths)
    if found.certificate:
        server_tls(found)
    if found.ca:
        _check_ca(found.ca)
    return found


def server_tls(
    how: Sharing, pki: Pki | None = None, folder: Path | None = None, *, clients: bool = False
) -> ssl.SSLContext:
    """TLS for the servers: with the user's certificate, else with one under the development root, kept in `folder`.

    With `clients` a client may show a certificate of its own, as CAS wants it. Missing when the user's files do not
    fit each other, do not name every host, or have expired.
    """
    from workflows.localnet.cas import tls

    if how.certificate is None or how.key is None:
        assert pki is not None and folder is not None  # noqa: S101 - the localnet has both
        return tls.server_context(
            tls.server_pair(folder, pki, "creamtea localnet", how.hosts), clients=clients
        )
    pair = tls.Pair(how.certificate, how.key)
    try:
        context = tls.server_context(pair, clients=clients)
        lacking = tls.lacking(pair, how.hosts)
    except (FileNotFoundError, IsADirectoryError, PermissionError) as error:
        unread = next((path for path in (pair.certificate, pair.key) if not os.access(path, os.R_OK)), None)
        raise Missing(
            f"{unread or error.filename} cannot be read: {os.strerror(error.errno or 0)}",
            "Give the paths of two PEM files.",
            name="tls_files",
        ) from None
    except (OSError, ValueError) as error:  # ssl.SSLError is an OSError
        raise Missing(
            f"{how.certificate} and {how.key} are no certificate and its key ({type(error).__name__})",
            "Give PEM files: the certificate with its chain, and the key without a passphrase.",
            name="tls_files",
        ) from None
    if lacking:
        raise Missing(
            f"the certificate {how.certificate} is not good {lacking}",
            "Get another one, or leave out --tls-cert and --tls-key: the localnet makes one.",
            name="tls_files",
        )
    return context


def _check_ca(path: Path) -> None:
    try:
        ssl.create_default_context(cafile=path)
    except OSError as error:
        raise Missing(
            f"{path} is no CA certificate ({type(error).__name__})",
            "Give the PEM file of the CA that signed --tls-cert, or leave it out where others know that CA.",
            name="tls_files",
        ) from None


def _host(text: str) -> str:
    """A host as it is in a URL's authority and a Host header: lower case, an IPv6 address in brackets."""
    name = text.strip().lower().rstrip(".")
    try:
        address = ipaddress.ip_address(name.strip("[]"))
    except ValueError:
        if _NAME.fullmatch(name) and not name.replace(".", "").isdigit():
            return name
        raise _usage(f"--host takes a host name or an address without a port, not {text!r:.80}") from None
    if address.is_unspecified:
        raise _usage(f"--host {address} is no address that others can reach: name one of this machine's")
    return f"[{address}]" if address.version == 6 else str(address)


def _usage(text: str) -> Missing:
    return Missing(text, "creamtea localnet --help lists what it takes", name="usage")
