"""Sound: waveform arithmetic, mixing, splicing, reference audio, and the VAE in tiles."""
