"""Delete the private database of a home, wherever it lies.

    python -m callsheet.doors.local.remove HOME
"""

from __future__ import annotations

import sys
from pathlib import Path

from callsheet.doors.local.postgres import remove_database
from callsheet.errors import ServerError


def main(arguments: list[str]) -> int:
    """Exit code: 0 when it is gone, or was never there; 1 while somebody uses it; 2 for wrong arguments."""
    if len(arguments) != 1:
        sys.stderr.write("usage: python -m callsheet.doors.local.remove HOME\n")
        return 2
    try:
        remove_database(Path(arguments[0]))
    except ServerError as error:
        sys.stderr.write(f"{error}\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
