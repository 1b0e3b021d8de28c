"""Learning a style from the samples of a few songs: the trainer of adapters."""
