"""Sessions and the keys of their volumes: SQLite, sealed, the key in its own file."""

from __future__ import annotations

import hashlib
import hmac
import secrets
from dataclasses import dataclass
from pathlib import Path

from workflows.localnet.database import Database
from workflows.localnet.vault import Vault
from workflows.scone import session as language
from workflows.scone.session import Session

_SCHEMA = """
CREATE TABLE IF NOT EXISTS sessions (
  name TEXT PRIMARY KEY, hash TEXT NOT NULL, creator TEXT NOT NULL, text BLOB NOT NULL
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS volumes (
  session TEXT NOT NULL, volume TEXT NOT NULL, key BLOB NOT NULL, PRIMARY KEY (session, volume)
) WITHOUT ROWID;
"""


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
    """All methods block on the disk."""

    def __init__(self, directory: Path) -> None:
        self._vault = Vault(directory / "cas.key")
        self._database = Database(directory / "cas.sqlite", _SCHEMA)

    def post(self, text: bytes, creator: str) -> str:
        """Create or update a session; its hash. SessionError: not a session. Refused: it may not be."""
        session = language.parse(text)
        digest = hashlib.sha256(text).hexdigest()
        with self._database.transaction() as sql:
            row = sql.execute(
                "SELECT hash, creator, text FROM sessions WHERE name = ?", (session.name,)
            ).fetchone()
            if row is None:
                if session.predecessor:
                    raise Refused(404, f'session "{session.name}" has no predecessor here')
                owner = creator
            else:
                owner = str(row[1])
                self._may_update(session, str(row[0]), owner, self._text(session.name, row[2]), creator)
            sql.execute(
                "INSERT OR REPLACE INTO sessions VALUES (?, ?, ?, ?)",
                (session.name, digest, owner, self._vault.seal(text, _context(session.name))),
            )
            for volume in session.volumes:
                key = bytes.fromhex(volume.fspf_key) if volume.fspf_key else secrets.token_bytes(32)
                # a volume keeps the key that CAS made for it when its session is updated
                verb = "INSERT OR REPLACE" if volume.fspf_key else "INSERT OR IGNORE"
                sql.execute(
                    f"{verb} INTO volumes VALUES (?, ?, ?)",
                    (session.name, volume.name, self._vault.seal(key, _context(session.name, volume.name))),
                )
        return digest

    def get(self, name: str) -> Stored | None:
        """A session by name."""
        row = self._database.one("SELECT hash, creator, text FROM sessions WHERE name = ?", name)
        if row is None:
            return None
        text = self._text(name, row[2])
        return Stored(language.parse(text), str(row[0]), str(row[1]), text)

    def read(self, name: str, reader: str) -> Stored:
        """A session for a client, by its read policy; one that may not be read looks absent."""
        found = self.get(name)
        if found is None or not _allows(found.session.read, found.creator, reader):
            raise Refused(404, f'session "{name}" not found, or this client certificate may not read it')
        return found

    def volume_key(self, session: str, volume: str) -> str:
        """The key of a session's volume, 64 hex. KeyError: no such volume."""
        row = self._database.one("SELECT key FROM volumes WHERE session = ? AND volume = ?", session, volume)
        if row is None or not isinstance(row[0], bytes):
            raise KeyError(volume)
        return self._vault.open(row[0], _context(session, volume)).hex()

    def close(self) -> None:
        """Let go of the database."""
        self._database.close()

    def _text(self, name: str, sealed: object) -> bytes:
        if not isinstance(sealed, bytes):
            raise TypeError("a session is stored as bytes")
        return self._vault.open(sealed, _context(name))

    def _may_update(self, new: Session, current: str, owner: str, text: bytes, creator: str) -> None:
        if not _allows(language.parse(text).update, owner, creator):
            raise Refused(
                403, f'session "{new.name}" exists, and its policy does not let this client update it'
            )
        if new.predecessor is None:
            raise Refused(409, f'session "{new.name}" exists: an update names the hash of its predecessor')
        if not hmac.compare_digest(new.predecessor, current):
            raise Refused(409, f"predecessor {new.predecessor} is not the current session, {current}")


def _allows(policy: tuple[str, ...], creator: str, who: str) -> bool:
    return language.NONE not in policy and (
        language.ANY in policy or (language.CREATOR in policy and who == creator) or who in policy
    )


def _context(*parts: str) -> str:
    return "\0".join(parts)
