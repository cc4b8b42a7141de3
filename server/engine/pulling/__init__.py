"""How models come to this machine: by name, from an address or from a folder, and pinned."""
