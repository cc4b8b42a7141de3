"""Our own mask networks, in the format of demucs's hub."""

from server.engine.families.family import Family


class StarterFamily(Family):
    """What ships, and what `server.starter` trains."""

    name = "starter"
    networks = ("server.engine.masknet.MaskNet",)
