"""Which objects of a store an input is: addresses, patterns, and folders, by the rules of files."""

import glob
from collections.abc import Sequence
from fnmatch import fnmatchcase
from pathlib import PurePath, PurePosixPath

from vae_anomaly_cli import stores
from vae_anomaly_cli.errors import InputError
from vae_anomaly_cli.sources.stored_object import StoredObject
from vae_anomaly_cli.stores import Address, Listed, StoreError

EVERYWHERE = "**"
# Objects that an address leads to, by the folder of each; None where it is named itself, or by a pattern.
Found = list[tuple[StoredObject, PurePath | None, PurePath]]


def objects_of(text: str) -> Found:
    """Find the objects that an address names, or a folder or a pattern of a store.

    Returns
    -------
    list of (StoredObject, PurePath or None, PurePath)
        Each object, the folder that led to it, if one did, and its name below that, or below the fixed part of the
        pattern.

    Raises
    ------
    InputError
        If there is none, or the store cannot say.
    """
    address = Address.of(text)
    try:
        found = _matched(address) if glob.has_magic(address.path) else _named(address)
        if not found:
            stores.check_bucket(address)
    except StoreError as error:
        raise InputError(f"{address} cannot be read: {error}.") from error
    if not found:
        if glob.has_magic(address.path):
            raise InputError(f"{address} matches no object. Check the pattern, and the folder it starts from.")
        raise InputError(f"{address} does not exist: there is no such object, and none below it. Check the address.")
    return found


def _named(address: Address) -> Found:
    one = None if address.is_folder else stores.info(address)
    if one is not None:
        return [(StoredObject(one), None, PurePath(address.name))]
    folder = PurePath(address.path)
    return [(StoredObject(each), folder, _below(each, folder)) for each in stores.objects_below(address)]


def _matched(address: Address) -> Found:
    """Objects that match a pattern, and those in folders that do, in the order of what matches."""
    parts = PurePosixPath(address.path).parts
    n_fixed = next(index for index, part in enumerate(parts) if glob.has_magic(part))
    n_fixed = min(n_fixed, len(parts) - 1)
    fixed = PurePath(*parts[:n_fixed])
    folder = Address(address.scheme, address.host, "/".join(parts[:n_fixed]), address.options)
    found: list[tuple[str, StoredObject, PurePath | None, PurePath]] = []
    for each in stores.objects_below(folder):
        below = _below(each, fixed).parts
        n_matched = _first_match(below, parts[n_fixed:])
        if n_matched is not None:
            match = "/".join(below[:n_matched])
            matched = None if n_matched == len(below) else fixed.joinpath(*below[:n_matched])
            found.append((match, StoredObject(each), matched, PurePath(*below)))
    return [(stored, matched, relative) for _, stored, matched, relative in sorted(found, key=lambda one: one[0])]


def _first_match(parts: Sequence[str], pattern: Sequence[str]) -> int | None:
    """How many parts of a name match a pattern: all of them, or else those of a folder; None where none does."""
    if _matches(parts, pattern):
        return len(parts)
    return next((n for n in range(1, len(parts)) if _matches(parts[:n], pattern)), None)


def _matches(parts: Sequence[str], pattern: Sequence[str]) -> bool:
    if not pattern:
        return not parts
    if pattern[0] == EVERYWHERE:
        visible = bool(parts) and not parts[0].startswith(".")
        return _matches(parts, pattern[1:]) or (visible and _matches(parts[1:], pattern))
    if not parts or (parts[0].startswith(".") and not pattern[0].startswith(".")):
        return False
    return fnmatchcase(parts[0], pattern[0]) and _matches(parts[1:], pattern[1:])


def _below(each: Listed, folder: PurePath) -> PurePath:
    return PurePath(each.address.path).relative_to(folder)
