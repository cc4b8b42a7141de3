"""HTTP in, HTTP out: the Audio Pipeline API as one ASGI app.

Talks to the jobs room through `ports.JobService`; knows no SQL, no torch and no worker.
"""

from starlette.applications import Starlette
from starlette.types import ASGIApp

from server.api import auth, openapi
from server.api.answers import HANDLERS
from server.api.http import with_middlewares
from server.api.pipeline import Pipeline
from server.api.ports import JobService
from server.config import Config

__all__ = ["create_app"]


def create_app(config: Config, jobs: JobService) -> ASGIApp:
    """The app: the seven endpoints, its OpenAPI document and the middlewares. It has no lifespan.

    Raises:
        ConfigError: the settings ask for what this version does not have.
    """
    auth.check_settings(config.pipeline)
    routes = [*Pipeline(config, jobs).routes(), openapi.route()]
    app = Starlette(routes=routes, exception_handlers=HANDLERS)
    app.router.redirect_slashes = False  # a redirect is no answer that the contract has
    return with_middlewares(app, config.server.cors_origins)
