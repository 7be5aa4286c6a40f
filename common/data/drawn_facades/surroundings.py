"""Sky, neighbours and street: all that is background."""

from common.data.drawn_facades.canvas import BACKGROUND
from common.data.drawn_facades.styles import STYLES, pick, pick_colour

import numpy as np

PANE = np.array([74, 82, 92], "float32")


def paint_surroundings(canvas, house):
    """Paint what is around a house whose box is given, and also what it will cover."""
    picture = canvas.picture
    _sky(canvas, picture.rows(0, house.bottom))
    left, right = picture.columns(0, house.left), picture.columns(house.right, picture.width)
    for gap, near in ((left, left.last_columns(2)), (right, right.columns(0, 2))):
        if gap.width > 2:
            roof = int(canvas.rng.integers(10, 90))
            _neighbour(canvas, gap.rows(roof, house.bottom), outer_half_first=gap is left)
            canvas.shade(near.rows(roof, house.bottom), 0.6)
    _street(canvas, picture.rows(house.bottom, picture.height))


def _sky(canvas, box):
    canvas.fill(box, canvas.look.sky, BACKGROUND)
    horizon = box.rows(0, min(110, box.height))  # the house hides the rest
    haze = np.linspace(0, 0.6, horizon.height, dtype="float32")[:, np.newaxis]
    canvas.mix(horizon, np.full(3, 240, "float32"), haze)
    canvas.texture(horizon, "clouds", canvas.rng.uniform(0.01, 0.06))


def _neighbour(canvas, box, outer_half_first):
    style = pick(STYLES, canvas.rng)
    wall = 0.85 * pick_colour(style.walls, canvas.rng)
    canvas.fill(box, wall, BACKGROUND)
    canvas.texture(box, style.texture)
    canvas.fill(box.rows(0, 7), 0.6 * wall + 80)
    canvas.shade(box.rows(7, 12), 0.75)
    half = box.width // 2
    windows = box.columns(0, half) if outer_half_first else box.last_columns(half)
    storey = int(canvas.rng.integers(62, 90))
    for top in range(24, box.height - storey, storey):
        canvas.fill(windows.rows(top, top + storey // 2), PANE)
        canvas.shade(windows.rows(top, top + 4), 0.6)
        canvas.shade(box.rows(top + storey // 2 + 9, top + storey // 2 + 11), 1.15)


def _street(canvas, box):
    asphalt = np.full(3, canvas.rng.uniform(82, 128), "float32")
    canvas.fill(box, asphalt, BACKGROUND)
    pavement = box.rows(0, box.height // 2)
    canvas.fill(pavement, asphalt + 52)
    joints = np.arange(pavement.width) % canvas.rng.integers(18, 30) == 0
    canvas.shade(pavement, np.where(joints, 0.86, 1))
    canvas.shade(pavement.last_rows(2), 0.7)
    canvas.texture(box, "plaster", 2)
    canvas.shade(box.rows(0, 4), np.linspace(0.65, 0.95, 4)[:, np.newaxis])
