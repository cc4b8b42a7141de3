"""The studio at `/` and the reference at `/docs`: sources in `src`, what browsers get in `dist`.

Owns the built files and how they are served. Knows no job and no audio: the page calls the API
as everybody does.
"""

from server.studio.routes import routes

__all__ = ["routes"]
