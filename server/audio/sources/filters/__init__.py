"""Sources that give what another source gives, changed."""
