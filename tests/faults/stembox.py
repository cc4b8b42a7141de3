"""The `stembox` command with faults armed: `python -m tests.faults.stembox serve …`.

The folder `$FAULTS` says which. Worker processes import this module too, as their parent's main.
"""

import os
import sys
from pathlib import Path

from server import cli
from tests.faults.failpoints import Failpoints
from tests.faults.planted import plant

FOLDER = Path(os.environ["FAULTS"])
Failpoints(FOLDER).arm()
plant(FOLDER)

if __name__ == "__main__":
    sys.exit(cli.main())
