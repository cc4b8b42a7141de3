"""The `stembox` command that waits a tenth as long before it starts again what died, and calls a
tenth as long a short life: the same code, sooner.

Worker processes import this module too, as their parent's main.
"""

import sys

from server import cli
from server.work import supervisor

supervisor.SHORTEST_LIFE /= 10
supervisor.LONGEST_PAUSE /= 10
supervisor.IN_SECONDS /= 10
supervisor.FIRST_PAUSE /= 10

if __name__ == "__main__":
    sys.exit(cli.main())
