"""Train: datasets and LoRA training."""
