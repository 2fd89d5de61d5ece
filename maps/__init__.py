"""Roads, travel times and segments of a city, all from one city pack.

`segments` names the H3 cells that supply is kept in. A city pack (`cities`) holds Valhalla's tiles and the drivable
graph parsed from them (`tiles` -> `roads`), so both engines share edges and weights: `eta` answers bulk travel times
and `paths` single paths in process, `routes` asks Valhalla in a child process (map matching, turn by turn).

Read in this order: segments, roads, snap, deadends, search, eta, paths, tilebuild, tiles, edgeinfo, packs, cities,
routes.
"""
