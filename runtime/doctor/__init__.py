"""What `hexcab doctor` looks at: findings (a line, and how a check is bounded), then a file per engine.

Nothing here changes anything: no table, topic or key is made.
"""
