"""Draws the pictures of the project: the icon and the banner of the registry, and the way of a song of ARCHITECTURE.md.

    .venv/bin/python automation/pictures.py            # writes docs/icon.png, docs/banner.png, docs/way_of_a_song.svg

The registry shows a square icon of at most 400 x 400 pixels and a banner of 21:9. Both show what the sampler does:
noise that becomes music. Letters are those of Pillow's own font, so that the files come out alike on every machine.

The way of a song is a table of boxes and arrows below: change it when a stage or what it hands on changes.
"""

from __future__ import annotations

import math
import random
from collections.abc import Sequence
from html import escape
from pathlib import Path
from typing import Literal, NamedTuple

from PIL import Image, ImageDraw, ImageFont

DOCS = Path(__file__).resolve().parent.parent / "docs"
ICON_PIXELS = 400
BANNER_WIDTH, BANNER_HEIGHT = 1260, 540  # 21:9
OVERSAMPLING = 4  # drawn larger and scaled down, for smooth edges

Colour = tuple[int, int, int]
GROUND: Colour = (18, 18, 26)
LETTERS: Colour = (244, 240, 232)
SUBTITLE: Colour = (176, 172, 184)
COLOURS: tuple[Colour, ...] = ((88, 60, 150), (152, 58, 140), (214, 78, 98), (250, 146, 60), (252, 214, 130))


def blend(position: float) -> Colour:
    """The colour at a position from 0 to 1 of the row of colours."""
    place = min(max(position, 0.0), 1.0) * (len(COLOURS) - 1)
    index = min(int(place), len(COLOURS) - 2)
    share = place - index
    first, second = COLOURS[index], COLOURS[index + 1]
    red, green, blue = (round(a + (b - a) * share) for a, b in zip(first, second, strict=True))
    return red, green, blue


def bar_heights(count: int, seed: int) -> list[float]:
    """Heights from 0 to 1, from noise on the left to a swelling rhythm on the right."""
    generator = random.Random(seed)
    heights = []
    for index in range(count):
        position = index / (count - 1)
        music = (0.35 + 0.65 * math.sin(math.pi * position) ** 2) * (0.45 + 0.55 * abs(math.cos(index * math.pi / 4)))
        noise = generator.uniform(0.05, 0.55)
        share = min(max((position - 0.15) / 0.4, 0.0), 1.0)
        heights.append(noise + (music - noise) * share)
    return heights


def draw_bars(draw: ImageDraw.ImageDraw, box: Sequence[float], heights: Sequence[float]) -> None:
    """Upright bars with round ends, centred on the middle of the box (left, top, right, bottom)."""
    left, top, right, bottom = box
    step = (right - left) / len(heights)
    width = step * 0.56
    for index, height in enumerate(heights):
        middle = left + (index + 0.5) * step
        half = max(height * (bottom - top), width) / 2
        centre = (top + bottom) / 2
        place = (middle - width / 2, centre - half, middle + width / 2, centre + half)
        draw.rounded_rectangle(place, radius=width / 2, fill=blend(index / (len(heights) - 1)))


def icon() -> Image.Image:
    """Seven bars on a dark tile with round corners."""
    size = ICON_PIXELS * OVERSAMPLING
    image = Image.new("RGBA", (size, size))
    draw = ImageDraw.Draw(image)
    draw.rounded_rectangle((0, 0, size - 1, size - 1), radius=size * 0.2, fill=GROUND)
    heights = (0.16, 0.34, 0.22, 0.62, 1.0, 0.74, 0.44)
    draw_bars(draw, (size * 0.13, size * 0.18, size * 0.87, size * 0.82), heights)
    return image.resize((ICON_PIXELS, ICON_PIXELS), Image.Resampling.LANCZOS)


def banner() -> Image.Image:
    """The name above a row of bars, from noise to music."""
    width, height = BANNER_WIDTH * OVERSAMPLING, BANNER_HEIGHT * OVERSAMPLING
    image = Image.new("RGB", (width, height), GROUND)
    draw = ImageDraw.Draw(image)
    margin = width * 0.055
    draw_bars(draw, (margin, height * 0.44, width - margin, height * 0.94), bar_heights(64, seed=8))
    draw.text((margin, height * 0.09), "ACE Composer", fill=LETTERS, font=ImageFont.load_default(height * 0.17))
    line = "Songs with ACE-Step 1.5 in ComfyUI: plan, render, edit, train"
    draw.text((margin, height * 0.30), line, fill=SUBTITLE, font=ImageFont.load_default(height * 0.062))
    return image.resize((BANNER_WIDTH, BANNER_HEIGHT), Image.Resampling.LANCZOS)


Side = Literal["left", "right", "top", "bottom"]
CELL_WIDTH, CELL_HEIGHT = 250, 142
BOX_WIDTH, BOX_HEIGHT = 176, 84
BORDER = 26


class Box(NamedTuple):
    """A place on the way of a song: a title, the networks at work, and the menu or the nodes that call it."""

    column: int
    row: int
    title: str
    networks: str = ""
    nodes: str = ""

    def edge(self, side: Side, share: float = 0.5) -> tuple[float, float]:
        """A point on one of the sides, `share` of the way from its left or upper end."""
        left = BORDER + self.column * CELL_WIDTH
        top = BORDER + self.row * CELL_HEIGHT
        across = {"left": 0.0, "right": 1.0}.get(side, share) * BOX_WIDTH
        down = {"top": 0.0, "bottom": 1.0}.get(side, share) * BOX_HEIGHT
        return left + across, top + down


class Arrow(NamedTuple):
    """What one box hands to another; it turns once where the two are not in one row or column."""

    start: str
    leaves: Side
    end: str
    enters: Side
    label: str
    share: float = 0.5  # of the side that it enters, or leaves downwards


BOXES = {
    "words": Box(0, 0, "caption, lyrics", nodes="Blueprint"),
    "plan": Box(1, 0, "stages/plan.py", "planner", "Plan, Write Song, Rewrite"),
    "encode": Box(2, 0, "stages/encode.py", "text + condition encoder", "Encode"),
    "render": Box(3, 0, "stages/render.py", "diffusion transformer", "Sample"),
    "decode": Box(4, 0, "stages/decode.py", "VAE decoder", "Decode"),
    "files": Box(5, 0, "song_files/", nodes="Save Song, Load Song"),
    "codes": Box(1, 1, "stages/codes.py", "audio tokenizer", "Audio to Codes, Understand"),
    "listen": Box(3, 1, "stages/listen.py", "transformer, planner", "Lyric Timing, Score"),
    "recording": Box(0, 2, "recording", nodes="Load Audio"),
    "sources": Box(1, 2, "stages/sources.py", "VAE encoder", "all nodes of edit"),
    "tasks": Box(2, 2, "tasks/", nodes="Cover, Repaint, Extend, ..."),
}
ARROWS = (
    Arrow("words", "right", "plan", "left", ""),
    Arrow("plan", "right", "encode", "left", "plan"),
    Arrow("encode", "right", "render", "left", "conditions"),
    Arrow("render", "right", "decode", "left", "latents"),
    Arrow("decode", "right", "files", "left", "sound"),
    Arrow("recording", "right", "sources", "left", ""),
    Arrow("sources", "right", "tasks", "left", "latents"),
    Arrow("sources", "top", "codes", "bottom", "latents"),
    Arrow("codes", "top", "plan", "bottom", "codes"),
    Arrow("codes", "right", "encode", "bottom", "structure", 0.2),
    Arrow("tasks", "top", "encode", "bottom", "task"),
    Arrow("encode", "bottom", "listen", "left", "conditions", 0.8),
    Arrow("render", "bottom", "listen", "top", "latents"),
    Arrow("listen", "right", "files", "bottom", "timed lyrics"),
)


def way_of_a_song() -> str:
    """An SVG of the boxes and arrows."""
    width = 2 * BORDER + 5 * CELL_WIDTH + BOX_WIDTH
    height = 2 * BORDER + 2 * CELL_HEIGHT + BOX_HEIGHT
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" font-family="sans-serif">',
        '<defs><marker id="tip" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="8" markerHeight="8" orient="auto">'
        '<path d="M0 0 L8 4 L0 8 z" fill="#6b6675"/></marker></defs>',
        f'<rect width="{width}" height="{height}" rx="14" fill="#faf9f7"/>',
        *(_arrow(arrow) for arrow in ARROWS),
        *(_box(box) for box in BOXES.values()),
        "</svg>",
    ]
    return "\n".join(parts) + "\n"


def _box(box: Box) -> str:
    left, top = box.edge("left", 0)
    stage = bool(box.networks)
    fill, letters = ("#2a2338", "#f4f0e8") if stage else ("#ece8e1", "#2a2338")
    lines = [(box.title, letters, 15, 600), (box.networks, "#fcb26a", 12.5, 400), (box.nodes, letters, 11.5, 400)]
    lines = [line for line in lines if line[0]]
    middle = left + BOX_WIDTH / 2
    first = top + BOX_HEIGHT / 2 - 11 * (len(lines) - 1) + 5
    texts = [
        f'<text x="{middle:g}" y="{first + 22 * row:g}" text-anchor="middle" font-size="{size}" font-weight="{weight}" '
        f'fill="{colour}">{escape(text)}</text>'
        for row, (text, colour, size, weight) in enumerate(lines)
    ]
    shape = f'<rect x="{left}" y="{top}" width="{BOX_WIDTH}" height="{BOX_HEIGHT}" rx="10" fill="{fill}"/>'
    return "\n".join((shape, *texts))


def _arrow(arrow: Arrow) -> str:
    start, end = BOXES[arrow.start], BOXES[arrow.end]
    turns = arrow.leaves == "bottom" and arrow.enters == "left"
    x1, y1 = start.edge(arrow.leaves, arrow.share if turns else 0.5)
    x2, y2 = end.edge(arrow.enters, 0.5 if turns else arrow.share)
    if x1 == x2:  # upwards or downwards: the label stands beside the line
        points, label, anchor = [(x1, y1), (x2, y2)], (x1 + 7, (y1 + y2) / 2 + 4), "start"
    elif y1 == y2:
        points, label, anchor = [(x1, y1), (x2, y2)], ((x1 + x2) / 2 - 3, y1 - 7), "middle"
    elif turns:
        points, label, anchor = [(x1, y1), (x1, y2), (x2, y2)], ((x1 + x2) / 2 - 3, y2 - 7), "middle"
    else:
        points, label, anchor = [(x1, y1), (x2, y1), (x2, y2)], ((x1 + x2) / 2, y1 - 7), "middle"
    way = " ".join(f"{x:g},{y:g}" for x, y in points)
    line = f'<polyline points="{way}" fill="none" stroke="#6b6675" stroke-width="1.6" marker-end="url(#tip)"/>'
    text = f'<text x="{label[0]:g}" y="{label[1]:g}" text-anchor="{anchor}" font-size="11.5" fill="#4a4554">'
    return f"{line}\n{text}{escape(arrow.label)}</text>" if arrow.label else line


def main() -> None:
    DOCS.mkdir(exist_ok=True)
    (DOCS / "way_of_a_song.svg").write_text(way_of_a_song(), encoding="ascii")
    icon().save(DOCS / "icon.png", optimize=True)
    banner().save(DOCS / "banner.png", optimize=True)


if __name__ == "__main__":
    main()
