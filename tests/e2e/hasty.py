"""The `stembox` command whose patience with clients is a tenth: the same code, sooner.

Worker processes import this module too, as their parent's main.
"""

import sys

from server import cli
from server.api.edge import protocol
from server.api.files import uploads

protocol.HEADER_SECONDS /= 10  # type: ignore[misc]
protocol.WRITE_SECONDS /= 10  # type: ignore[misc]
uploads.PATIENCE_S /= 10  # type: ignore[misc]
uploads.PATIENCE_BYTES //= 10  # type: ignore[misc]

if __name__ == "__main__":
    sys.exit(cli.main())
