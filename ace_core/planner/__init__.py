"""The planner: the 5 Hz language model that writes captions, lyrics, metadata and audio codes."""
