"""What finished songs say: timed lyrics, alignment and scores."""
