"""How songs come in: posted, put under a signed URL, or fetched from elsewhere."""
