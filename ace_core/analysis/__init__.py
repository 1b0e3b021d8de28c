"""Listening back: when each lyric line is sung, and how well a song follows its lyrics."""
