"""What the `stembox` commands do. A module imports what its commands need only when they run."""
