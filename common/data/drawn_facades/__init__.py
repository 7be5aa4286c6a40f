"""Facades drawn by a grammar: something to train on where no photos can be had.

    python -m common.data facades --data drawn

They are drawings and do not pretend to be anything else, but they pose the same task: the label
map says what is where, and the look (colours, material, light) is left open. A house of a style
(`styles.py`) has a roof (`roofs.py`) and storeys of bays (`house.py`), whose parts (`parts.py`)
are painted on a canvas that keeps photo and label map in step (`canvas.py`).
"""

from common.data.drawn_facades.canvas import Canvas
from common.data.drawn_facades.house import paint_house
from common.data.drawn_facades.styles import STYLES, choose_look
from common.data.drawn_facades.surroundings import paint_surroundings

import numpy as np

COUNT = 320
SEED = 5


def draw_all(count=None):
    """Draw a set, `COUNT` facades unless told otherwise, always the same ones on one machine.

    Returns photos, a list of uint8 (H, W, 3), label_maps, a list of uint8 (H, W) with classes 0 to
    11, and a tuple of names.
    """
    photos, label_maps, names = [], [], []
    for number in range(COUNT if count is None else count):
        photo, layout = draw(np.random.default_rng((SEED, number)), STYLES[number % len(STYLES)])
        photos.append(photo)
        label_maps.append(layout)
        names.append(f"drawn_{number + 1:04d}")
    return photos, label_maps, tuple(names)


def draw(rng, style):
    """Draw a facade, 340 to 520 pixels high and 380 to 460 wide.

    Args:
        rng: numpy Generator of all that is random about it.
        style: one of `styles.STYLES`.

    Returns its photo, uint8 (H, W, 3), and its layout, uint8 (H, W) with classes 0 to 11.
    """
    look = choose_look(style, rng)
    height, width = int(rng.integers(340, 521)), int(rng.integers(380, 461))
    canvas = Canvas(height, width, look, rng)
    left, right = (int(gap) if rng.random() < 0.6 else 0 for gap in rng.integers(3, width // 14, 2))
    sky, street = int(rng.integers(22, 42)), int(rng.integers(16, 30))
    box = canvas.picture.grown(-sky, -left, -street, -right)
    paint_surroundings(canvas, box)
    paint_house(canvas, box, style)

    across = np.linspace(1.05, 0.95, width, dtype="float32")[:: look.sun]
    down = np.linspace(1.05, 0.94, height, dtype="float32")[:, np.newaxis]
    canvas.shade(canvas.picture, look.brightness * across * down)
    return canvas.develop()
