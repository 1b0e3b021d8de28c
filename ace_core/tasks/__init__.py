"""What is made of a song: from text alone, or from source audio."""
