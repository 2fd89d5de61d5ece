"""The edge: HTTP and WebSockets for riders, operators and scripts, and the page that shows the city.

Read in this order: ports and engine (what the edge needs of the rooms), server (how it is put together), errors, auth,
route and idempotency (what every call passes), then the *_api files (one per noun), hub, rider_socket, ops_socket and
frames (the sockets), messages (their schema). console/ is the page: plain files, no build step.
"""
