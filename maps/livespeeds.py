"""The speeds in force as Valhalla's route workers read them: the same weights that the EtaIndex has.

A traffic archive holds 64 bits for every edge of the tiles, in their order. Workers map the file of their process into
memory and see at once what is written to it; the city pack holds an empty one. A word is written as a whole, so a route
that is searched meanwhile reads each edge's old or new speed.

Valhalla knows live speeds of even km/h alone (baldr: traffictile.h). An odd one is said as an even speed on a part of
the edge: for the rest it takes the tile's own speed, and rounds what comes out down to whole km/h (baldr: graphtile.h).
"""

from __future__ import annotations

import io
import tarfile
import tempfile
from pathlib import Path

import numpy as np

from core.errors import Unavailable
from core.geo import FloatArray
from maps.roads import RoadGraph
from maps.tilefile import TILE_BITS, Words, edge_count_of

SPEEDS_FILE = "traffic.tar"
SLOWEST_KPH, _FASTEST_KPH = 2.0, 250.0  # that can be said

_HEADER_BYTES, _VERSION = 32, 3
_TILE_HEADER_BYTES = 48  # of it, as far as it is needed
_WHOLE, _UNKNOWN = 255, 127  # a whole edge; no speed
_FIRST_SPEED, _SECOND_SPEED, _THIRD_SPEED, _FIRST_END, _SECOND_END = (np.uint64(at) for at in (7, 14, 21, 28, 36))
CLOSED_WORD = np.uint64(_WHOLE) << _FIRST_END  # no speed all along
_GOLDEN = 0.6180339887498949  # multiples of it are spread evenly, however many are taken


def pack_speeds(tiles: Path, target: Path) -> None:
    """Write an archive without any speed, for the tiles of an archive."""
    with (
        tarfile.open(tiles) as source,
        tarfile.open(target, "w", format=tarfile.USTAR_FORMAT) as archive,
    ):
        for member in source:
            tile = source.extractfile(member)
            assert tile is not None
            key, count = edge_count_of(tile.read(_TILE_HEADER_BYTES))
            header = np.array([key, 0, count | _VERSION << 32, 0], dtype="<u8")
            entry = tarfile.TarInfo(member.name)
            entry.size = _HEADER_BYTES + 8 * count
            archive.addfile(entry, io.BytesIO(header.tobytes() + bytes(8 * count)))


def slowest(roads: RoadGraph) -> FloatArray:
    """The longest time of each edge that both engines can have, seconds of shape (edges,); a slower road is closed."""
    return np.maximum(roads.seconds, roads.metres * 3.6 / SLOWEST_KPH)


def speed_words(roads: RoadGraph, seconds: FloatArray) -> Words:
    """What the archive says of each edge whose whole takes so many seconds, inf where it is closed; shape (edges,).

    A speed between two whole km/h becomes one of the two by the edge's number, so that many edges together take as long
    as they should.
    """
    own = np.rint(roads.metres * 3.6 / roads.seconds)
    kph = np.clip(roads.metres * 3.6 / np.where(np.isinf(seconds), 1.0, seconds), SLOWEST_KPH, _FASTEST_KPH)
    low = np.floor(np.round(kph, 6))
    share_low = (1 / np.maximum(kph, low) - 1 / (low + 1)) / (1 / low - 1 / (low + 1))
    said = np.where(np.arange(len(kph)) * _GOLDEN % 1 < share_low, low, low + 1)

    odd = said % 2 == 1
    live = np.where(odd & (own > said), said - 1, np.where(odd, said + 1, said))
    with np.errstate(divide="ignore", invalid="ignore"):  # of edges that say a whole speed
        part = np.where(own == said, 0.0, (own - said - 0.5) / (own - live))
    covered = np.where(odd, np.clip(np.rint(_WHOLE * part), 1, _WHOLE - 1), _WHOLE).astype(np.uint64)
    step = (live / 2).astype(np.uint64)
    words = step | step << _FIRST_SPEED | covered << _FIRST_END
    silent = np.uint64(_UNKNOWN) << _SECOND_SPEED | np.uint64(_UNKNOWN) << _THIRD_SPEED
    words = np.where(odd, words | silent | np.uint64(_WHOLE) << _SECOND_END, words)
    return np.where(np.isinf(seconds), CLOSED_WORD, words)


class LiveSpeeds:
    """The traffic archive of one process, a temporary file; it starts with the free-flow times. Close it at the end.

    `slowdown` is how many times their free-flow time the open roads take together.
    """

    slowdown = 1.0

    def __init__(self, pack_dir: Path, roads: RoadGraph) -> None:
        """From the empty archive of a city pack. Raises Unavailable when there is no room for the file."""
        self._roads = roads
        try:
            empty = (pack_dir / SPEEDS_FILE).read_bytes()
            self._folder = tempfile.TemporaryDirectory(prefix="hexcab-speeds-")
            self.path = Path(self._folder.name) / SPEEDS_FILE
            self.path.write_bytes(empty)
        except OSError as error:
            raise Unavailable(f"the route workers' speeds cannot be written: {error}") from error
        self._words = np.memmap(self.path, dtype="<u8", mode="r+")
        self._place = _places(self.path, roads)
        self.write(roads.seconds)

    def write(self, seconds: FloatArray) -> None:
        """Take new weights: the seconds of each edge as a whole, inf where it is closed; shape (edges,)."""
        self._words[self._place] = speed_words(self._roads, seconds)
        open_roads = np.isfinite(seconds)
        self.slowdown = float(seconds[open_roads].sum() / max(1.0, self._roads.seconds[open_roads].sum()))

    def close(self) -> None:
        """Remove the file. Workers that still run keep what they have mapped."""
        self._folder.cleanup()


def _places(archive: Path, roads: RoadGraph) -> np.ndarray[tuple[int], np.dtype[np.int64]]:
    """Which word of the archive is each edge's, shape (edges,)."""
    keys, starts = [], []
    with tarfile.open(archive) as members, archive.open("rb") as raw:
        for member in members:
            raw.seek(member.offset_data)
            keys.append(int.from_bytes(raw.read(8), "little"))
            starts.append((member.offset_data + _HEADER_BYTES) // 8)
    order = np.argsort(keys)
    tile = np.searchsorted(np.array(keys)[order], roads.graph_id & ((1 << TILE_BITS) - 1))
    return np.asarray(np.array(starts)[order][tile] + (roads.graph_id >> TILE_BITS), dtype=np.int64)
