"""The StemSplit API v1, one ASGI app behind authentication: keys, rate limit, own error bodies."""

from starlette.applications import Starlette
from starlette.routing import Route
from starlette.types import ASGIApp

from server.api.edge.limits import RateLimit
from server.api.ports import Services
from server.api.signing import Signer
from server.api.v1.authentication import Authentication
from server.api.v1.errors import Handlers
from server.api.v1.listening import SignedListening
from server.api.v1.routes import Routes
from server.config import Config
from server.sharing import SharedPlaces

__all__ = ["create_app"]


def create_app(
    config: Config, services: Services, signer: Signer, limit: RateLimit, uploading: SharedPlaces
) -> ASGIApp:
    """The app, to be mounted at `/api/v1`. It has no lifespan. limit: for each key; uploading: both
    APIs' places."""
    handlers = Handlers(config.stemsplit.purchase_url)
    routes = all_routes(config, services, signer, uploading)
    app = Starlette(routes=routes, exception_handlers=handlers.table())
    app.router.redirect_slashes = False  # a redirect is no answer that the contract has
    return Authentication(app, services.accounts, limit, handlers)


def all_routes(
    config: Config, services: Services, signer: Signer, uploading: SharedPlaces
) -> list[Route]:
    """The routes; the first that matches wins, so files come last."""
    routes = Routes(config, services, signer, uploading)
    listening = SignedListening(services, signer, routes.detail)
    return [*routes.routes(), *listening.routes(), *routes.files()]
