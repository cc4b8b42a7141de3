"""The GPU side: models, segments, separation. Only here, and where models are made, is torch."""
