"""What is above the wall of a house, down to the frieze."""

from common.data.drawn_facades import parts
from common.data.drawn_facades.canvas import BACKGROUND, CORNICE, FACADE, MOLDING, Box
from common.data.drawn_facades.styles import pick

import numpy as np

CHIMNEY = np.array([150, 92, 70], "float32")


def paint_roof(canvas, house, style):
    """Paint the top of a house whose box is given. Returns the box of the wall below it."""
    rng = canvas.rng
    kind = pick(style.roofs, rng)
    paint, heights = {
        "mansard": (_mansard, (44, 58)),
        "gable": (_gable, (20, 34)),
        "balustrade": (_balustrade, (18, 23)),
        "tiles": (_tiles, (10, 16)),
        "parapet": (None, (0, 1)),
    }[kind]
    height = int(rng.integers(*heights))
    if paint:
        paint(canvas, house.rows(0, height), style)
    wall = house.grown(top=-height)

    height = int(rng.integers(9, 14) if kind in ("tiles", "parapet") else rng.integers(13, 22))
    cornice = wall.rows(0, height).wider(2)
    parts.cornice(canvas, cornice, pick((5, 6, 8, 10), rng) if style.ornament else 0)
    wall = wall.grown(top=-height)
    if rng.random() < 0.8 * style.ornament:
        height = int(rng.integers(15, 24))
        _frieze(canvas, wall.rows(0, height))
        canvas.shadow(cornice, 9)
        wall = wall.grown(top=-height)
    return wall


def _frieze(canvas, box):
    canvas.fill(box, 0.8 * (0.3 * canvas.look.trim + 0.7 * canvas.look.wall), MOLDING)
    canvas.shade(box.last_rows(2), 0.75)
    size = box.height - 3
    count = box.width // int(canvas.rng.integers(size + 12, 3 * size))
    for centre in np.linspace(0, box.width, 2 * count + 1)[1::2].astype(int):
        left = int(centre) - size // 2
        parts.rosette(canvas, box.rows(1, 1 + size).columns(left, left + size))


def _balustrade(canvas, box, _style):
    canvas.fill(box, canvas.look.trim, MOLDING)
    canvas.shade(box.rows(4, 5), 0.7)
    x = np.arange(box.width)
    between = (x % 7 < 3) & (x % 70 > 9)
    canvas.shade(box.rows(5, box.height - 3), np.where(between, 0.45, 0.95))


def _tiles(canvas, box, _style):
    eaves = box.wider(4)
    canvas.fill(eaves, canvas.look.tiles, BACKGROUND)
    canvas.shade(eaves, 1 + 0.22 * np.cos(np.arange(eaves.width) * (2 * np.pi / 7)))
    canvas.shade(eaves.rows(0, 2), 1.15)
    canvas.texture(eaves, "plaster", 2)


def _gable(canvas, box, style):
    """A triangle, smooth or in steps, that rises into the sky."""
    rng, look = canvas.rng, canvas.look
    share = rng.uniform(0.2, 0.36)
    gable = box.grown(top=20).columns(int(share * box.width), int((1 - share) * box.width))
    x = np.abs(np.linspace(-1, 1, gable.width, dtype="float32"))
    if rng.random() < 0.5:
        x = np.ceil(5 * x) / 5
    depth = np.arange(gable.height, dtype="float32")[:, np.newaxis] - gable.height * x
    inside = np.clip(depth + 1, 0, 1)
    canvas.shape(gable, inside, look.wall, FACADE)
    canvas.texture(gable, style.texture, inside)
    canvas.shape(gable, inside * (depth < 6), look.trim, CORNICE)
    middle = gable.width // 2
    parts.rosette(canvas, gable.last_rows(26).rows(0, 24).columns(middle - 12, middle + 12))
    for side in (box.columns(0, gable.left - box.left), box.last_columns(box.right - gable.right)):
        _balustrade(canvas, side.last_rows(16), style)


def _mansard(canvas, box, style):
    """A steep roof of zinc with dormers and chimneys."""
    rng = canvas.rng
    x, y = np.arange(box.width), np.arange(box.height)[:, np.newaxis]
    inside = np.clip(np.minimum(x, box.width - 1 - x) - 0.3 * (box.height - y), 0, 1)
    for place in rng.choice(np.arange(30, box.width - 40, 40), 2, replace=False).tolist():
        chimney = box.rows(-14, 2).columns(place, place + 16)
        canvas.fill(chimney, CHIMNEY, BACKGROUND)
        canvas.texture(chimney, "brick")
        canvas.shade(chimney.rows(0, 3), 1.2)
    canvas.shape(box, inside.astype("float32"), canvas.look.zinc, FACADE)
    canvas.shade(box, np.where((x % 16 == 0) & (inside > 0), 0.85, 1))
    parts.band(canvas, box.rows(0, 4).wider(-14), depth=2)
    arch = float(pick((0, 9), rng))
    count = max(2, box.width // int(rng.integers(64, 100)))
    for centre in np.linspace(box.left, box.right, 2 * count + 1)[1::2].astype(int).tolist():
        dormer = Box(box.top + 11, centre - 12, box.bottom - 3, centre + 12)
        parts.surround(canvas, dormer, arch, 4)
        parts.window(canvas, dormer, arch)
