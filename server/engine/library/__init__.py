"""Which models are on this machine, what they say, and which one an order gets. No torch."""
