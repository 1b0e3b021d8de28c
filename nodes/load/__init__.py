"""Load: models, planners and LoRAs."""
