"""How the songs are composed and played by the project's own instruments."""
