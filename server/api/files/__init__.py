"""Files over HTTP: songs on their way in, tracks on their way out."""
