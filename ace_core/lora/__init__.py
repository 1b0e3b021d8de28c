"""Adapters (LoRA, LoHa, LoKr, with or without DoRA): files in every published style, what they change, saving."""
