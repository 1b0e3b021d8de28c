"""The song plan: its fields and their domains, languages, regions and tracks."""
