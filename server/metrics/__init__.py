"""The server's figures, for Prometheus: one registry in the API process.

Counts what the database has committed, what the workers report and what HTTP answers; keeps no
names of accounts, jobs or songs. Knows no HTTP.
"""

from server.metrics.metrics import Metrics

__all__ = ["Metrics"]
