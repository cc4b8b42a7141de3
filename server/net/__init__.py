"""Calls to addresses that strangers named: source URLs and webhooks, through one guarded client.

Knows neither jobs nor the database.
"""

from server.net.addresses import Guard
from server.net.client import Answer, GuardedClient
from server.net.downloads import Downloaded, DownloadLimits

__all__ = ["Answer", "DownloadLimits", "Downloaded", "Guard", "GuardedClient"]
