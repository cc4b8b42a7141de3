"""Who may call the pipeline API. Only the open mode exists so far.

Keys get their place here: one function that the routes ask before they touch a job.
"""

from server.config import Pipeline
from server.errors import ConfigError


def check_settings(pipeline: Pipeline) -> None:
    """Refuses to start open where keys were asked for.

    Raises:
        ConfigError: `pipeline.auth` names a mode that this version does not have.
    """
    if pipeline.auth != "none":
        raise ConfigError(
            f'settings: pipeline.auth = "{pipeline.auth}" is not available in this version; '
            'allowed: "none"'
        )
