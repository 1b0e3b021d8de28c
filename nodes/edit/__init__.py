"""Edit: what to make of source audio."""
