"""Roads, travel times and segments of a city, all from one city pack.

`segments` names the H3 cells that supply is kept in. A city pack (`cities`) holds Valhalla's tiles and what is parsed
from them (`tiles` -> `roads`, `turns`) and prepared (`dissection` -> `tree`), so both engines share edges, turns and
weights: `eta` answers bulk travel times and `paths` single paths in process, `routes` asks Valhalla in a child process.

Read in this order: segments, roads, turns, snap, dissection, tree, labels, eta, paths, tilebuild, tilefile, tileedges,
tileturns, edgeinfo, tiles, packs, cities, routes.
"""
