"""Faults on a real engine, judged from outside by what its clients were told, in the manner of Jepsen.

Read in this order: history (what was asked and answered), facts (what the engine says at rest), rules and check_*
(pure: history and facts in, violations out), wire and http (how clients talk), driver, rider, crowd, proxy (a bad
network), cluster and embedded (what is under test), faults, nemesis (which fault when), rounds (load, fault, rest,
judgement).
`python -m tests.simulation` is what `make chaos` runs. The clients share no code with the engine but words of core.
"""
