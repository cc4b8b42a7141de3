"""What every connection and request passes before it reaches a route, whichever API's."""
