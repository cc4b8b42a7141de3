"""The way of a song through a model: cut, put together again, written."""
