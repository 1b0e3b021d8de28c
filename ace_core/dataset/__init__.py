"""From a folder of songs to the samples a LoRA is trained on."""
