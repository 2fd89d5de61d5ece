"""The simulator: what would the dispatch rules do with this demand, in virtual time, on this city's roads?

Read in this order: model (what is asked and answered), ports (what it needs of others), tables and scenario (a file of
trips becomes requests), demand (made-up trips), starts (where cabs begin), engine (the events), report, service
(`run`). streets connects the maps room. agents/ is another thing: drivers and riders who speak the outside contract to
a running engine, for the demo and the tests.
"""
