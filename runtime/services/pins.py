"""The versions of the servers: the one place that pins them.

What comes from the distribution's packages is what it ships; the line given here is the one that we test with.
`deploy/compose.yaml` starts the same versions, which a test compares.
"""

from __future__ import annotations

REDIS = "7.0"
POSTGRESQL = "15"
MARIADB = "10.11"
KAFKA = "4.4.0"
CASSANDRA = "5.0.9"

JAVA = 17  # Cassandra 5.0 runs on 11 and 17 alone
