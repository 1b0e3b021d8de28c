"""What can be measured in a recording: duration, loudness, tempo and key, with pictures."""
