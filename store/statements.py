"""SQL from `store/sql/*.sql`: files of statements, each under a `-- name: x` line."""

import re
from importlib.resources import files


def load(noun: str) -> dict[str, str]:
    """The statements of `sql/<noun>.sql` by name."""
    text = files("store").joinpath(f"sql/{noun}.sql").read_text(encoding="utf-8")
    parts = re.split(r"^-- name: (\w+)\n", text, flags=re.MULTILINE)[1:]
    return dict(zip(parts[::2], (sql.strip() for sql in parts[1::2]), strict=True))
