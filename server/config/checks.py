"""What settings must be to each other, and what no bound of a single value says."""

from collections.abc import Sequence
from ipaddress import ip_network
from urllib.parse import urlsplit

from server.config.sections import Config, Limits
from server.errors import ConfigError


def check(config: Config) -> None:
    """Raises ConfigError: some of the settings make no sense, or no safe server."""
    _check_address(config)
    _check_public_url(config.server.public_url)
    _check_lengths(config.limits)
    _check_networks(config.server.trusted_proxies, "server.trusted_proxies")
    _check_networks(config.metrics.allow_networks, "metrics.allow_networks")


def _check_address(config: Config) -> None:
    anonymous = config.pipeline.auth == "none" and not config.pipeline.allow_anonymous
    if config.server.host != "127.0.0.1" and anonymous:
        raise ConfigError(
            f"settings: server.host {config.server.host} would offer the pipeline API to the "
            "network without a key; pipeline.allow_anonymous = true says that this is meant"
        )


def _check_public_url(url: str) -> None:
    """Signed addresses begin with it: clients must be able to read it, and it goes to everybody."""
    try:
        parts = urlsplit(url)
        usable = not url or (parts.hostname and parts.port != 0)
    except ValueError as error:
        raise ConfigError(f"settings: server.public_url: {error}") from None
    if not usable:
        raise ConfigError(f"settings: server.public_url: {url} names no host, or no port")
    if parts.username is not None:
        raise ConfigError("settings: server.public_url must hold no user and no password")


def _check_lengths(limits: Limits) -> None:
    if limits.min_audio_seconds > limits.max_audio_seconds:
        raise ConfigError(
            f"settings: limits.min_audio_seconds {limits.min_audio_seconds:g} is above "
            f"limits.max_audio_seconds {limits.max_audio_seconds:g}"
        )


def _check_networks(texts: Sequence[str], name: str) -> None:
    for text in texts:
        try:
            ip_network(text, strict=False)
        except ValueError as error:
            raise ConfigError(f"settings: {name}: {error}") from None
