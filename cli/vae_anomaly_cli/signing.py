"""The key that a command signs models with, and that models it reads have to be signed with."""

import os
from contextvars import ContextVar
from pathlib import Path

from vae_anomaly_cli.errors import InputError

KEY_VARIABLE = "VAE_ANOMALY_KEY_FILE"
MIN_KEY_BYTES, MAX_KEY_BYTES = 16, 1 << 16

_KEY: ContextVar[bytes | None] = ContextVar("key", default=None)
_FILE: ContextVar[str | None] = ContextVar("file", default=None)


def use_key(file: str | None) -> None:
    """Take the key of this command from a file, or from the one that the environment names.

    Raises
    ------
    InputError
        If there is no such file, or what it holds is no key.
    """
    _KEY.set(_read(f"--key-file {file}", file) if file is not None else _of_environment())
    _FILE.set(file if file is not None else os.environ.get(KEY_VARIABLE) or None)


def signing_key() -> bytes | None:
    """The key of this command; None without one."""
    return _KEY.get()


def key_file() -> str | None:
    """The file with the key of this command; None without one."""
    return _FILE.get()


def _of_environment() -> bytes | None:
    file = os.environ.get(KEY_VARIABLE, "")
    return _read(f"{KEY_VARIABLE}={file}", file) if file else None


def _read(name: str, file: str) -> bytes:
    try:
        with Path(file).open("rb") as opened:
            key = opened.read(MAX_KEY_BYTES + 1)
    except OSError as error:
        raise InputError(f"{name} cannot be read: {error.strerror or error}. Name the file with the key.") from error
    if not MIN_KEY_BYTES <= len(key) <= MAX_KEY_BYTES:
        counted = f"{len(key)} bytes" if len(key) < MIN_KEY_BYTES else f"more than {MAX_KEY_BYTES:,} bytes"
        found = f"has {counted}" if key else "is empty"
        raise InputError(
            f"{name} {found}; expected a key of {MIN_KEY_BYTES} to {MAX_KEY_BYTES:,} bytes that nobody can guess, such "
            "as: head -c 32 /dev/urandom > model.key"
        )
    return key
