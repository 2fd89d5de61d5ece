"""The key that signs tokens: the data directory's own, or one file that all hosts of a cluster have."""

from __future__ import annotations

from pathlib import Path

from core.errors import BadFile
from runtime.datadir import DataDir
from runtime.settings import ClusterSettings

_SHORTEST = 32  # bytes: as long as the digest that it signs with


def server_key(data: DataDir, cluster: ClusterSettings) -> bytes:
    """The key. Raises BadFile for a key file that is missing or too short, Unavailable for the data directory's."""
    if not cluster.key_file:
        return data.key()
    try:
        key = Path(cluster.key_file).read_bytes()
    except OSError as error:
        raise BadFile(f"{cluster.key_file}: the key cannot be read: {error.strerror}") from error
    if len(key) < _SHORTEST:
        raise BadFile(f"{cluster.key_file}: a key has at least {_SHORTEST} bytes, this one has {len(key)}")
    return key
