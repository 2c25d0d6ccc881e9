"""Keys: the registry's public ones with their validity, and private ones that sign."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime

import nacl.bindings


@dataclass(frozen=True, slots=True)
class Key:
    """A participant's public key as the registry holds it."""

    id: str
    participant: str
    public: bytes  # 32 bytes
    valid_from: datetime
    valid_to: datetime | None = None
    revoked_at: datetime | None = None

    def trouble(self, at: datetime) -> str:
        """Why the key is not in force at a time; '' when it is."""
        if self.revoked_at and at >= self.revoked_at:
            return f"key {self.id} was revoked at {self.revoked_at.isoformat()}"
        if at < self.valid_from:
            return f"key {self.id} is valid from {self.valid_from.isoformat()}"
        if self.valid_to and at >= self.valid_to:
            return f"key {self.id} expired at {self.valid_to.isoformat()}"
        return ""


@dataclass(frozen=True, slots=True)
class SigningKey:
    """A private key; `secret` is libsodium's form, 64 bytes: the seed of RFC 8032 and the public key."""

    id: str
    secret: bytes = field(repr=False)

    @classmethod
    def from_seed(cls, key_id: str, seed: bytes) -> SigningKey:
        """The key of a 32-byte seed."""
        return cls(key_id, nacl.bindings.crypto_sign_seed_keypair(seed)[1])

    @property
    def public(self) -> bytes:
        """The 32 bytes of the public key."""
        return self.secret[32:]

    def sign(self, message: bytes) -> bytes:
        """The 64 bytes of the signature."""
        return nacl.bindings.crypto_sign(message, self.secret)[:64]
