"""HTTP in, HTTP out: the Audio Pipeline API at `/`, the StemSplit API at `/api/v1`, the page.

Talks to the jobs room through `ports`; knows no SQL, no torch and no worker.
"""

from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.types import ASGIApp, Receive, Scope, Send

from server.api import v1
from server.api.edge.http import AddressLimit, with_middlewares
from server.api.edge.limits import RateLimit
from server.api.edge.proxies import TrustedProxies
from server.api.health import HealthAnswers
from server.api.metrics import NO_ROUTE, Figures, MetricsRoute
from server.api.pipeline import openapi
from server.api.pipeline.errors import HANDLERS
from server.api.pipeline.guard import PipelineGuard, telling
from server.api.pipeline.routes import Pipeline
from server.api.ports import PipelineJobs, Services
from server.api.signing import BASE, Signer
from server.config import Config
from server.net.addresses import parse_networks
from server.sharing import SharedPlaces
from server.studio import routes as studio_routes

__all__ = ["create_app"]


def create_app(
    config: Config, jobs: PipelineJobs, services: Services, signer: Signer,
    figures: Figures | None = None,
) -> ASGIApp:  # fmt: skip
    """The app: both APIs, their documents and the middlewares. It has no lifespan.

    figures: counts requests, and is shown at `/metrics`, unless the settings say no.
    """
    keys = RateLimit(config.limits.requests_per_minute)
    guard = PipelineGuard(config.pipeline.auth, services.accounts, keys)
    uploading = SharedPlaces(config.limits.max_uploads, "uploads are on their way in")
    health = HealthAnswers(services)
    pipeline = Pipeline(config, jobs, guard, services, uploading)
    limit = config.pipeline.requests_per_minute
    page = studio_routes() if config.studio.enabled else []
    metrics = None
    if figures is not None and config.metrics.enabled:
        metrics = MetricsRoute(config.metrics, services.accounts, figures)
    own = Starlette(
        routes=[*health.routes(), *pipeline.routes(), openapi.route(config),
                *([metrics.route()] if metrics else []), *page],
        exception_handlers=HANDLERS,
        middleware=[Middleware(AddressLimit, limit=limit, metrics=metrics)] if limit else [],
    )  # fmt: skip
    own.router.redirect_slashes = False  # a redirect is no answer that the contract has
    partners = v1.create_app(config, services, signer, keys, uploading)
    app = by_path(partners, health.before(telling(own)))
    app = with_middlewares(app, config.server.cors_origins, figures)
    proxies = parse_networks(config.server.trusted_proxies, "server.trusted_proxies")
    return TrustedProxies(app, proxies) if proxies else app


def by_path(below: ASGIApp, rest: ASGIApp) -> ASGIApp:
    """`below` for everything under `/api/v1`, `rest` for the rest.

    Starlette's own Mount does not match paths with line breaks, and would answer them itself.
    """

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        path = scope.get("path", "")
        if path == BASE or path.startswith(f"{BASE}/"):
            inner = {**scope, "root_path": scope.get("root_path", "") + BASE}
            try:
                await below(inner, receive, send)
            finally:
                route = inner.get("route")
                scope["found_route"] = BASE + (NO_ROUTE if route is None else route.path)
        else:
            await rest(scope, receive, send)

    return app
