"""Traffic as partners, browsers and bad clients make it, and a verdict on how the server bore it.

`make load` and `python -m loadtests.traffic --help`; the users are locust's.
"""
