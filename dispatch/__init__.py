"""Finding a cab: a ride request is kept open until a driver accepts, the rider cancels or its time is over.

Reading order: model, candidates, ranking, modes, decide, matching, batch (pure: arrays in, a decision out; the
simulator calls them too), offers (the state machine), ports, settle (what one transaction does), search (one request's
search), windows (many at once), searches (those of this process, by lane), service (commands), views (bodies of the
contract).
"""
