"""What the operator does to accounts, keys and credits, while the server runs or not."""
