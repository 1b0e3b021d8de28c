"""The music box: a small model of our own in ACE-Step 1.5's exact architecture, so that music plays without downloads.

A toy to learn the graph with and to test musical behaviour on. Its world is small (`songs.py`), its networks are the
published ones in small sizes: the VAE sounds a piano roll (`codec.py`), the text encoder marks the words it knows
(`tagger.py`, trained), the diffusion transformer turns marks and a metronome into the roll (`renderer.py`). What it can
and cannot do, with figures: `CARD.md`.
"""
