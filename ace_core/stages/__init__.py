"""Each stage of a song once, from sources to finished songs: called by nodes, the command line, trainer and tests."""
