"""Songs as audio files that carry their plan, lyrics, seeds and workflow, and the way back from such a file."""
