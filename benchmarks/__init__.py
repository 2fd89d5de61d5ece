"""Headline figures, each measured beside its peer or its floor in the same run; no test, so no timing fails anything.

Read in this order: harness (rounds, medians, the result), processes (pinned children, CPU seconds, C programs), report
(docs/PERFORMANCE.md), then one file per figure: book (with bookings, offers, pgbench), ingest, nearest (with crowds),
simulate. servers/ and peers/ hold the programs that they drive; native/ holds C; results/ holds the last accepted
figures.
"""
