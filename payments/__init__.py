"""Payments: what a ride is promised to cost, and what it costs.

Read in this order: fares (the tariff, pure), model, ports, quotes (the promise), adapters.
"""
