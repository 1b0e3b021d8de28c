"""From song plans to latents: prompts, conditions, audio codes, and runs of the sampler."""
