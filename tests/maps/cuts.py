"""Tables of segments that were split and merged at random around a place."""

from __future__ import annotations

from collections.abc import Sequence

from hypothesis import strategies as st

from maps import segments
from maps.segmenttable import SegmentTable

Step = tuple[float, float, bool]
steps = st.lists(st.tuples(st.floats(-0.03, 0.03), st.floats(-0.03, 0.03), st.booleans()), max_size=12)
CENTRE = (57.7041, 11.9697)


def cut(changes: Sequence[Step], lat: float = CENTRE[0], lng: float = CENTRE[1]) -> SegmentTable:
    """Split or merge the segment at each place, offsets in degrees; what cannot be done is left out."""
    table = SegmentTable()
    for north, east, split in changes:
        segment = table.locate(lat + north, lng + east)
        resolution = segments.resolution_of(segment)
        if split and resolution < segments.FINEST_RESOLUTION:
            table = table.splitting(segment)
        elif not split and resolution > segments.COARSEST_RESOLUTION:
            table = table.merging(segment)
    return table
