"""The demo's drivers and riders: they know the outside contract and nothing of the engine's inside.

Read in this order: world (what all of them share, and their habits), recorder (what was acknowledged), motion (a car on
its road), patience (waiting in engine time), api (HTTP with retries), codes (how a driver learns the start code),
socket (one connection), driver, rider, people (signing up), fleet (all of them at once).
"""
