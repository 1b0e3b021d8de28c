"""Learning a style from a few songs: datasets, cached samples, and the trainer of adapters."""
