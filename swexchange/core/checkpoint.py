"""Checkpoints of the log, in the formats of C2SP: signed-note, tlog-checkpoint, tlog-cosignature (Ed25519).

A checkpoint says how many entries the log has and what their root is; it is signed by the log,
and by witnesses who saw that it only ever grew.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import nacl.bindings
import nacl.exceptions

from swexchange.core.keys import SigningKey

NOTE, COSIGNATURE = 1, 4  # signature types of the signed note format
MOST_BYTES, MOST_SIGNATURES = 64 * 1024, 100
_MARK = "\u2014 "


class BadNote(ValueError):  # noqa: N818 - says what it is
    """Text that is no signed note, no checkpoint, no key, or that nobody trusted has signed."""


@dataclass(frozen=True, slots=True)
class Verifier:
    """A public key by which signatures of a name are recognised."""

    name: str
    public: bytes  # 32 bytes
    kind: int = NOTE  # NOTE for a log, COSIGNATURE for a witness

    @property
    def id(self) -> bytes:
        """The four bytes by which a signature line names the key."""
        return hashlib.sha256(f"{self.name}\n".encode() + bytes((self.kind,)) + self.public).digest()[:4]

    def __str__(self) -> str:
        """The key as people exchange it: name+id+key, the `vkey` of the signed note format."""
        return f"{self.name}+{self.id.hex()}+{_encoded(bytes((self.kind,)) + self.public)}"

    @classmethod
    def read(cls, text: str) -> Verifier:
        """The key that a `vkey` says. Raises BadNote."""
        name, key_id, material = (*text.strip().split("+", 2), "", "")[:3]
        found = _decoded(material)
        if not is_name(name) or len(found) != 33 or found[0] not in (NOTE, COSIGNATURE):
            raise BadNote(f"{text[:80]!r} is no Ed25519 verifier key: NAME+ID+KEY")
        verifier = cls(name, found[1:], found[0])
        if verifier.id.hex() != key_id:
            raise BadNote(f"the key of {name} has the id {verifier.id.hex()}, not {key_id[:20]!r}")
        return verifier

    def signed(self, text: str, signature: bytes) -> bool:
        """Whether this key made a signature (without its key id) over a note's text."""
        message = text.encode()
        if self.kind == COSIGNATURE:
            message = _cosigned(text, int.from_bytes(signature[:8]))
            signature = signature[8:]
        if len(signature) != 64:
            return False
        try:
            nacl.bindings.crypto_sign_open(signature + message, self.public)
        except nacl.exceptions.BadSignatureError:
            return False
        return True


def is_name(name: str) -> bool:
    """Whether this can be the name of a log or witness: not empty, no white space, no plus."""
    return bool(name) and name.isprintable() and not any(c.isspace() or c == "+" for c in name) and len(name) <= 200


@dataclass(frozen=True, slots=True)
class Signature:
    """One signature line of a note."""

    name: str
    key_id: bytes
    value: bytes  # after the key id
    line: str  # as it stood in the note, newline included

    @property
    def at(self) -> int:
        """When a cosignature was made, in seconds since 1970."""
        return int.from_bytes(self.value[:8])


@dataclass(frozen=True, slots=True)
class Note:
    """A text with signatures, none of them checked yet."""

    text: str  # ends with a newline
    signatures: tuple[Signature, ...]

    @classmethod
    def read(cls, note: str) -> Note:
        """The note. Raises BadNote."""
        text, blank, lines = note.rpartition("\n\n")
        if not blank or not lines.endswith("\n") or len(note) > MOST_BYTES or _has_control(note):
            raise BadNote("this is no signed note: a text, an empty line, signature lines")
        signatures = [_signature(line) for line in lines[:-1].split("\n")]
        if len(signatures) > MOST_SIGNATURES:
            raise BadNote(f"more than {MOST_SIGNATURES} signatures")
        return cls(text + "\n", tuple(signatures))

    def by(self, verifier: Verifier) -> Signature | None:
        """The signature of this key; None where there is none. Raises BadNote where one is there and wrong."""
        for signature in self.signatures:
            if (signature.name, signature.key_id) == (verifier.name, verifier.id):
                if not verifier.signed(self.text, signature.value):
                    raise BadNote(f"the signature of {verifier.name} is wrong")
                return signature
        return None

    def signed_by(self, verifiers: Iterable[Verifier]) -> list[tuple[Verifier, Signature]]:
        """The signatures of these keys. Raises BadNote where one of them is wrong."""
        return [(verifier, signature) for verifier in verifiers if (signature := self.by(verifier))]

    def __str__(self) -> str:
        return self.text + "\n" + "".join(signature.line for signature in self.signatures)


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """What a log says of itself at a moment."""

    origin: str  # the log's name
    size: int  # entries
    root: bytes  # 32 bytes

    @property
    def text(self) -> str:
        """The text that is signed."""
        return f"{self.origin}\n{self.size}\n{_encoded(self.root)}\n"

    @classmethod
    def read(cls, text: str) -> Checkpoint:
        """The checkpoint that a note's text says; lines after the third are ignored. Raises BadNote."""
        lines = text.split("\n")
        if len(lines) < 4 or not is_name(lines[0]):
            raise BadNote("this is no checkpoint: origin, size, root")
        origin, size, root = lines[0], lines[1], _decoded(lines[2])
        if not (size.isascii() and size.isdigit() and len(size) <= 18 and str(int(size)) == size) or len(root) != 32:
            raise BadNote(f"the checkpoint of {origin} has no size or no root")
        return cls(origin, int(size), root)


def size_of(note: str) -> int:
    """How many entries a checkpoint speaks of, whoever signed it; 0 for ''. Raises BadNote."""
    return Checkpoint.read(Note.read(note).text).size if note else 0


def trusted(note: str, logs: Sequence[Verifier]) -> tuple[Checkpoint, Note]:
    """The checkpoint of a note that one of these keys of its log has signed. Raises BadNote."""
    read = Note.read(note)
    checkpoint = Checkpoint.read(read.text)
    if not read.signed_by([key for key in logs if key.name == checkpoint.origin and key.kind == NOTE]):
        raise BadNote(f"the checkpoint of {checkpoint.origin} is not signed by a key of it that is trusted here")
    return checkpoint, read


def sign(checkpoint: Checkpoint, key: SigningKey) -> str:
    """The note: the checkpoint, signed by its log."""
    return sign_note(checkpoint.text, checkpoint.origin, key)


def sign_note(text: str, name: str, key: SigningKey) -> str:
    """The note of any text that ends with a newline, signed under a name."""
    return f"{text}\n{_line(Verifier(name, key.public), key.sign(text.encode()))}"


def cosign(note: Note, name: str, key: SigningKey, at: int) -> str:
    """A signature line of a witness, made at a time in seconds since 1970."""
    return _line(Verifier(name, key.public, COSIGNATURE), at.to_bytes(8) + key.sign(_cosigned(note.text, at)))


def _cosigned(text: str, at: int) -> bytes:
    return f"cosignature/v1\ntime {at}\n{text}".encode()


def _line(verifier: Verifier, signature: bytes) -> str:
    return f"{_MARK}{verifier.name} {_encoded(verifier.id + signature)}\n"


def _signature(line: str) -> Signature:
    name, space, encoded = line.removeprefix(_MARK).partition(" ")
    value = _decoded(encoded)
    if not line.startswith(_MARK) or not space or not is_name(name) or len(value) < 5:
        raise BadNote(f"{line[:80]!r} is no signature line")
    return Signature(name, value[:4], value[4:], line + "\n")


def _has_control(note: str) -> bool:
    return any(c < " " and c != "\n" for c in note)


def _encoded(value: bytes) -> str:
    return base64.b64encode(value).decode()


def _decoded(text: str) -> bytes:
    """The bytes of a canonical base64 text; b'' for any other."""
    try:
        value = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        return b""
    return value if _encoded(value) == text else b""
