"""Accounts: who rides and who drives, what they drive, and how they prove who they are.

Read in this order: model (people and the checks on what they enter), ports, service (the two desks), sessions (one-time
codes), adapters.
"""
