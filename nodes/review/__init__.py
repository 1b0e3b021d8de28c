"""Review: timing, scores and measurements of finished songs."""
