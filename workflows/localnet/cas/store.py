"""Sessions, the keys of their volumes and the values of their secrets: SQLite, sealed, the key in its own file."""

from __future__ import annotations

import hashlib
import hmac
import secrets
import sqlite3
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from workflows.localnet.cas import sharing
from workflows.localnet.cas.secrets import Values, make, migrates
from workflows.localnet.database import Database
from workflows.localnet.vault import Vault
from workflows.scone.session import parse
from workflows.scone.session_model import ANY, CREATOR, NONE, Session, SessionError

_SCHEMA = """
CREATE TABLE IF NOT EXISTS sessions (
  name TEXT PRIMARY KEY, hash TEXT NOT NULL, creator TEXT NOT NULL, text BLOB NOT NULL
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS earlier (
  name TEXT NOT NULL, hash TEXT NOT NULL, text BLOB NOT NULL, PRIMARY KEY (name, hash)
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS volumes (
  session TEXT NOT NULL, volume TEXT NOT NULL, key BLOB NOT NULL, PRIMARY KEY (session, volume)
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS secrets (
  session TEXT NOT NULL, secret TEXT NOT NULL, value BLOB NOT NULL, PRIMARY KEY (session, secret)
) WITHOUT ROWID;
"""
_SESSION = "SELECT hash, creator, text FROM sessions WHERE name = ?"


class Refused(Exception):  # noqa: N818 - reads as a sentence at the place where it is raised
    """A client may not do this; `status` is the HTTP status, the text is for the client."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status
        self.message = message


@dataclass(frozen=True)
class Stored:
    """A session as it is kept; `hash` of its text and `creator`, of a public key, are 64 hex."""

    session: Session
    hash: str
    creator: str
    text: bytes


class SessionStore:
    """All methods block on the disk. `key`: that of the values, in a file of the directory when none is given."""

    def __init__(self, directory: Path, key: bytes | None = None) -> None:
        self._vault = Vault(directory / "cas.key", key)
        self._database = Database(directory / "cas.sqlite", _SCHEMA)
        try:
            self._vault.tie(self._database)
        except BaseException:
            self._database.close()
            raise

    def post(self, text: bytes, creator: str) -> str:
        """Create or update a session; its hash. SessionError: not a session. Refused: it may not be."""
        session = parse(text)
        digest = hashlib.sha256(text).hexdigest()
        while not self._replace(session, digest, text, creator, self.get(session.name)):
            pass  # another client was quicker: what it left is looked at instead
        return digest

    def _replace(self, session: Session, digest: str, text: bytes, creator: str, old: Stored | None) -> bool:
        """Put a session in the place of `old`, unless that is not the one there any more."""
        with self._database.transaction() as sql:
            self._may_post(sql, session, creator, old)
        # Keys take long to make, and nobody who reads should wait for that.
        own = [secret for secret in session.secrets if not secret.source]
        values = make(own, self._kept(session, old.session) if old else {})
        with self._database.transaction() as sql:
            row = _row(sql, session.name)
            if (None if row is None else str(row[0])) != (old and old.hash):
                return False
            self._may_post(sql, session, creator, old)
            if row is not None:
                sql.execute("INSERT OR REPLACE INTO earlier VALUES (?, ?, ?)", (session.name, row[0], row[2]))
            owner = old.creator if old else creator
            sql.execute(
                "INSERT OR REPLACE INTO sessions VALUES (?, ?, ?, ?)",
                (session.name, digest, owner, self._vault.seal(text, _context(session.name))),
            )
            self._keep_volumes(sql, session)
            self._keep_secrets(sql, session, values)
        return True

    def get(self, name: str) -> Stored | None:
        """A session by name. Refused: it was stored, but is none by the rules of today."""
        row = self._database.one(_SESSION, name)
        if row is None:
            return None
        text = self._text(name, row[2])
        return Stored(_understood(name, text), str(row[0]), str(row[1]), text)

    def read(self, name: str, reader: str, digest: str | None = None) -> tuple[bytes, str]:
        """A session's text and hash, or those of an earlier `digest`, for whom the current policy lets read.

        What may not be read looks absent.
        """
        found = self.get(name)
        if found is None or not _allows(found.session.read, found.creator, reader):
            raise Refused(404, f'session "{name}" not found, or this client certificate may not read it')
        digest = digest and digest.lower()
        if digest is None or digest == found.hash:
            return found.text, found.hash
        row = self._database.one("SELECT text FROM earlier WHERE name = ? AND hash = ?", name, digest)
        if row is None:
            raise Refused(404, f'session "{name}" never had this hash; it has {found.hash}')
        return self._text(name, row[0]), digest

    def volume_key(self, found: Stored, name: str) -> str:
        """The key of a session's volume, 64 hex. KeyError: no such volume; NotShared: nobody exports it."""
        session, volume = found.session.name, name
        known = found.session.volume(name)
        if known and known.source:
            session, volume = sharing.volume(session, found.hash, known.source, self._current)
        row = self._database.one("SELECT key FROM volumes WHERE session = ? AND volume = ?", session, volume)
        if row is None or not isinstance(row[0], bytes):
            raise KeyError(volume)
        return self._vault.open(row[0], _context(session, volume)).hex()

    def values(self, found: Stored) -> Values:
        """The secrets of a session with their values, imported ones too. NotShared: it does not get one."""
        shared = sharing.secrets(found.session, found.hash, self._current, self._own)
        return Values(found.session, self._made(found.session.name), shared)

    def public(self, name: str) -> dict[str, dict[str, Any]]:
        """The secrets that a session exports to everybody; none when there is no such session."""
        found = self.get(name)
        return self._own(found.session).public() if found else {}

    def close(self) -> None:
        """Let go of the database."""
        self._database.close()

    def _current(self, name: str) -> tuple[Session, str] | None:
        found = self.get(name)
        return (found.session, found.hash) if found else None

    def _own(self, session: Session) -> Values:
        return Values(session, self._made(session.name))

    def _made(self, session: str) -> dict[str, bytes]:
        kept = self._database.all("SELECT secret, value FROM secrets WHERE session = ?", session)
        return self._opened(session, kept)

    def _text(self, name: str, sealed: object) -> bytes:
        if not isinstance(sealed, bytes):
            raise TypeError("a session is stored as bytes")
        return self._vault.open(sealed, _context(name))

    def _opened(self, session: str, rows: Iterable[tuple[Any, ...]]) -> dict[str, bytes]:
        return {
            str(name): self._vault.open(sealed, _context(session, "secret", str(name)))
            for name, sealed in rows
        }

    def _may_post(self, sql: sqlite3.Connection, new: Session, creator: str, old: Stored | None) -> None:
        if old is None:
            self._may_create(sql, new, creator)
        else:
            _may_update(new, old, creator)

    def _may_create(self, sql: sqlite3.Connection, new: Session, creator: str) -> None:
        """In a namespace, what its session says decides."""
        if new.predecessor:
            raise Refused(404, f'session "{new.name}" has no predecessor here')
        above, slash, _ = new.name.rpartition("/")
        if not slash:
            return
        row = _row(sql, above)
        if row is None:
            raise Refused(404, f'namespace "{above}" is not there: create that session first')
        namespace = _understood(above, self._text(above, row[2]))
        policy = namespace.update if namespace.create_sessions is None else namespace.create_sessions
        if not _allows(policy, str(row[1]), creator):
            raise Refused(403, f'namespace "{above}" does not let this client create sessions in it')
        if new.namespace_hash and not hmac.compare_digest(new.namespace_hash, str(row[0])):
            told = _told(namespace, str(row[0]), str(row[1]), creator)
            raise Refused(409, f"namespace_hash {new.namespace_hash} is not that of the namespace{told}")

    def _keep_volumes(self, sql: sqlite3.Connection, session: Session) -> None:
        for volume in session.volumes:
            if volume.source:
                continue
            key = bytes.fromhex(volume.fspf_key) if volume.fspf_key else secrets.token_bytes(32)
            # a volume keeps the key that CAS made for it when its session is updated
            verb = "INSERT OR REPLACE" if volume.fspf_key else "INSERT OR IGNORE"
            sql.execute(
                f"{verb} INTO volumes VALUES (?, ?, ?)",
                (session.name, volume.name, self._vault.seal(key, _context(session.name, volume.name))),
            )

    def _kept(self, new: Session, old: Session) -> dict[str, bytes]:
        """Values that the new session takes over from the old one."""
        before = {secret.name: secret for secret in old.secrets}
        after = {secret.name: secret for secret in new.secrets}
        return {
            name: value
            for name, value in self._made(new.name).items()
            if name in before and name in after and migrates(before[name], after[name])
        }

    def _keep_secrets(self, sql: sqlite3.Connection, new: Session, values: Mapping[str, bytes]) -> None:
        sql.execute("DELETE FROM secrets WHERE session = ?", (new.name,))
        for name, value in values.items():
            sealed = self._vault.seal(value, _context(new.name, "secret", name))
            sql.execute("INSERT INTO secrets VALUES (?, ?, ?)", (new.name, name, sealed))


def _row(sql: sqlite3.Connection, name: str) -> tuple[Any, ...] | None:
    row: tuple[Any, ...] | None = sql.execute(_SESSION, (name,)).fetchone()
    return row


def _understood(name: str, text: bytes) -> Session:
    """A stored session. Refused: an earlier version of this CAS took it."""
    try:
        return parse(text)
    except SessionError:
        raise Refused(
            409, f'session "{name}" was posted when it was read less strictly: post it under another name'
        ) from None


def _may_update(new: Session, old: Stored, creator: str) -> None:
    if not _allows(old.session.update, old.creator, creator):
        raise Refused(403, f'session "{new.name}" exists, and its policy does not let this client update it')
    if new.predecessor is None:
        raise Refused(409, f'session "{new.name}" exists: an update names the hash of its predecessor')
    if not hmac.compare_digest(new.predecessor, old.hash):
        told = _told(old.session, old.hash, old.creator, creator)
        raise Refused(409, f"predecessor {new.predecessor} is not the current session{told}")


def _told(session: Session, digest: str, owner: str, who: str) -> str:
    """The hash of a session for who may read it: it is of the text, and would let others guess at that."""
    return f", {digest}" if _allows(session.read, owner, who) else ""


def _allows(policy: tuple[str, ...], creator: str, who: str) -> bool:
    return NONE not in policy and (ANY in policy or (CREATOR in policy and who == creator) or who in policy)


def _context(*parts: str) -> str:
    return "\0".join(parts)
