"""The parts of a facade. Each function paints one into a box of a canvas, labels included."""

import functools

from common.data.drawn_facades.canvas import (
    BALCONY,
    BLIND,
    CORNICE,
    DECO,
    DOOR,
    MOLDING,
    PILLAR,
    SHOP,
    SILL,
    WINDOW,
    Box,
)

import numpy as np

BRASS = np.array([214, 178, 92], "float32")
CREAM = np.array([248, 240, 218], "float32")
LAMPLIGHT = np.array([255, 214, 150], "float32")
DARK = np.array([46, 52, 58], "float32")

WORDS = ("CAFE", "BAR", "HOTEL", "PAIN", "LIVRES", "TABAC", "OPTIK", "BISTRO", "DELI", "VINOS")
WORDS += ("FLORES", "RADIO", "BOOKS", "TEA", "HATS", "KINO")
# Five rows of three dots: an octal digit for each row.
LETTERS = dict(A="25755", B="65656", C="34443", D="65556", E="74647", F="74644", H="55755")
LETTERS |= dict(I="72227", K="55655", L="44447", N="65555", O="75557", P="75744", R="65655")
LETTERS |= dict(S="34216", T="72222", V="55552")


def window(canvas, box, arch=0.0, drawn_down=0.0, label=WINDOW):
    """A window in its recess. `arch`: height of its head; `drawn_down`: share behind a blind."""
    look, rng = canvas.look, canvas.rng
    edge = _distance(box.height, box.width, arch)
    inside = np.clip(edge + 0.5, 0, 1)
    y, x = _grid(box.height, box.width)

    # Glass mirrors the sky above and shows a dark room below, with a slanting gleam.
    gleam = (x + y // 2 + rng.integers(40)) % 37 < 9
    mirrored = 0.5 - 0.45 / box.height * y + np.where(gleam, np.float32(0.16), 0)
    room = DARK * np.float32(rng.uniform(0.6, 1.2))
    pane = room[:, None, None] + mirrored * (look.sky - room)[:, None, None]
    if rng.random() < 0.55:
        curtain = x[:, : max(2, int(box.width * rng.uniform(0.12, 0.26)))]
        folds = 168 + 26 * np.sin(1.9 * curtain)
        pane[:, :, : curtain.size] += 0.6 * (folds - pane[:, :, : curtain.size])
        pane[:, :, -curtain.size :] += 0.6 * (folds[:, ::-1] - pane[:, :, -curtain.size :])

    frame = look.frame[:, None, None]
    if label == WINDOW:
        transom = int(max(arch + 2, 0.3 * box.height))
        pane[:, :, box.width // 2 - 1 : box.width // 2 + 1] = frame
        pane[:, transom - 1 : transom + 1] = frame
        for number in range(1, look.muntins + 1):
            row = transom + (box.height - transom) * number // (look.muntins + 1)
            pane[:, row] += 0.8 * (frame[:, 0] - pane[:, row])
    pane += np.clip(3 - edge, 0, 1) * (frame - pane)
    canvas.shape(box, inside, pane, label)

    if drawn_down:
        blind = box.rows(0, int(drawn_down * box.height))
        slats = np.where(np.arange(blind.height) % 3 == 2, 0.8, 1.0)[:, np.newaxis]
        canvas.shape(blind, edge[: blind.height] > 2, look.blind[:, None, None] * slats, BLIND)

    # The wall's thickness shades the top, and the side where the sun comes from.
    from_top = edge if arch else y
    from_side = x if look.sun > 0 else box.width - 1 - x
    depth = np.clip(np.minimum((from_top + 2.5) / 6, (from_side + 3) / 6), 0, 1)
    canvas.shade(box, 1 - look.sunshine * (1 - depth) * (inside > 0.5))


def shutters(canvas, box, width):
    """Open shutters on both sides of a window."""
    for leaf in (box.columns(-width, 0), box.columns(box.width, box.width + width)):
        canvas.fill(leaf, canvas.look.blind, BLIND)
        slats = np.where(np.arange(leaf.height - 4) % 3 == 2, 0.72, 1.0)
        canvas.shade(leaf.grown(-2, -2, -2, -2), slats[:, np.newaxis])
        canvas.shade(leaf.rows(leaf.height // 2, leaf.height // 2 + 2), 1.12)
        canvas.shade(leaf.columns(0, 1), 0.8)
        canvas.shade(leaf.last_columns(1), 0.8)
        canvas.shadow(leaf, 3)


def surround(canvas, box, arch, thickness):
    """A moulding around a window or a door, which is to be painted into it."""
    outer = box.grown(thickness, thickness, 0, thickness)
    edge = _distance(outer.height, outer.width, arch + thickness if arch else 0)
    canvas.shape(outer, np.clip(edge + 0.5, 0, 1), canvas.look.trim, MOLDING)
    canvas.shade(outer, np.where((edge > 0) & (edge < 1.2), 0.84, 1))


def hood(canvas, box, kind):
    """A cornice over a window: flat, a pediment or an arc."""
    flat = box.last_rows(5)
    if kind != "flat":
        above = box.rows(0, box.height - 5)
        y, x = _grid(above.height, above.width)
        x = np.abs(2 * x / (above.width - 1) - 1)
        depth = y - above.height * (x if kind == "pediment" else 1 - np.sqrt(1 - x * x))
        canvas.shape(above, np.clip(depth + 1, 0, 1), canvas.look.trim, CORNICE)
        canvas.shade(above, np.where((depth > 2) & (y < above.height - 1), 0.8, 1))
    canvas.relief(flat, canvas.look.trim, CORNICE, depth=5)


def sill(canvas, box):
    """A sill under a window."""
    canvas.relief(box, canvas.look.trim, SILL, depth=5)


def balcony(canvas, box):
    """A slab with a railing, through which one sees what has been painted there before."""
    look = canvas.look
    canvas.layout[box.pixels] = BALCONY
    slab, railing = box.last_rows(4), box.rows(0, box.height - 4)
    if look.railing == "glass":
        canvas.mix(railing, 0.8 * look.sky + 30, 0.55)
        canvas.fill(railing.rows(0, 1), look.iron)
    elif look.railing == "balusters":
        canvas.fill(railing, look.trim)
        canvas.shade(railing.rows(2, 3), 0.75)
        between = np.where(np.arange(railing.width) % 6 < 2, 0.4, 0.93)
        canvas.shade(railing.rows(4, railing.height - 3), between)
    else:
        canvas.shade(railing, 0.9)
        bars = canvas.photo[railing.pixels][:, :, ::3]
        bars += 0.85 * (look.iron[:, None, None] - bars)
        third = railing.height // 3
        for row in (0, third, railing.height - 2):
            canvas.fill(railing.rows(row, row + 1), look.iron)
        knots = canvas.photo[railing.pixels][:, third + 2 : third + 5, 1::6]
        knots += 0.7 * (look.iron[:, None, None] - knots)
    canvas.fill(slab, look.trim)
    canvas.shade(slab.rows(0, 1), 1.1)
    canvas.shade(slab.last_rows(1), 0.65)
    canvas.shadow(slab, 8)


def rosette(canvas, box):
    """A flower in relief."""
    y, x = _grid(box.height, box.width)
    y, x = 2 * y / (box.height - 1) - 1, 2 * x / (box.width - 1) - 1
    radius = np.hypot(x, y)
    petals = 0.86 + 0.14 * np.cos(np.arctan2(y, x) * canvas.rng.integers(5, 9))
    inside = np.clip((petals - radius) * min(box.height, box.width) / 2 + 0.5, 0, 1)
    canvas.shape(box, inside, canvas.look.trim, DECO)
    slope = 0.18 * np.cos(9 * radius) - 0.12 * (x * canvas.look.sun + y)
    canvas.shade(box, 1 + slope * inside)


def panel(canvas, box):
    """A sunken field with a garland."""
    canvas.fill(box, 0.6 * canvas.look.trim + 0.4 * canvas.look.wall, DECO)
    canvas.shade(box.rows(0, 1), 0.7)
    canvas.shade(box.columns(0, 1), 0.8)
    canvas.shade(box.last_rows(1), 1.12)
    garland = box.grown(-2, -3, -2, -3)
    y, x = _grid(garland.height, garland.width)
    away = 2 * y / (garland.height - 1) - 1 - 0.45 * np.cos(x * (2 * np.pi / 13))
    canvas.shade(garland, 1 + 0.24 * np.sin(6 * away) * (np.abs(away) < 0.6))


def pilaster(canvas, box, fluted):
    """A flat pillar with base and capital."""
    canvas.fill(box, canvas.look.trim, PILLAR)
    canvas.shade(box, 1 - np.linspace(-0.16, 0.16, box.width) * canvas.look.sun)
    if fluted:
        canvas.shade(box.columns(3, box.width - 3), 1 - 0.2 * (np.arange(box.width - 6) % 3 == 0))
    for end in (box.rows(0, 5), box.last_rows(6)):
        canvas.relief(end.wider(2), canvas.look.trim, PILLAR, depth=3)


def quoins(canvas, box):
    """Corner stones, one long, one short."""
    for number, top in enumerate(range(0, box.height - 9, 10)):
        stone = box.rows(top, top + 9).columns(0, box.width - number % 2 * (box.width // 3))
        canvas.relief(stone, canvas.look.trim, PILLAR, depth=0)
        canvas.shade(stone, 1 + canvas.rng.uniform(-0.05, 0.03))


def band(canvas, box, depth=4):
    """A moulding across the facade."""
    canvas.relief(box, canvas.look.trim, MOLDING, depth)
    if box.height > 6:
        canvas.shade(box.rows(3, 4), 0.8)
        canvas.shade(box.rows(box.height - 3, box.height - 2), 1.08)


def cornice(canvas, box, dentils):
    """The cornice below the roof, with a row of dentils that many pixels apart, or none."""
    canvas.relief(box, canvas.look.trim, CORNICE, depth=9)
    lower = box.rows(box.height // 2, box.height)
    canvas.shade(lower, 0.82)
    canvas.shade(lower.rows(-1, 0), 0.7)
    if dentils:
        between = np.arange(box.width) % dentils < dentils // 2
        canvas.shade(lower.rows(1, lower.height - 2), np.where(between, 0.6, 1.14))


def door(canvas, box, arch):
    """Two leaves with panels, and a light above them."""
    look = canvas.look
    window(canvas, box, arch, label=DOOR)
    leaves = box.grown(-int(max(arch + 3, 0.2 * box.height)), -2, 0, -2)
    canvas.fill(leaves, look.door)
    canvas.fill(leaves.rows(-2, 0), 0.8 * look.door)
    half = leaves.width // 2
    for leaf in (leaves.columns(0, half), leaves.columns(half + 1, leaves.width)):
        for start, stop in ((0.06, 0.42), (0.5, 0.92)):
            field = leaf.rows(int(start * leaf.height), int(stop * leaf.height)).wider(-3)
            canvas.shade(field, 0.86)
            canvas.shade(field.rows(0, 1), 0.7)
            canvas.shade(field.last_rows(1), 1.3)
    canvas.shade(leaves.columns(half, half + 1), 0.5)
    knob = leaves.rows(leaves.height // 2, leaves.height // 2 + 2)
    canvas.fill(knob.columns(half + 2, half + 4), BRASS)


def shop(canvas, box, awning):
    """A shop: its sign, perhaps an awning, and goods behind glass."""
    look, rng = canvas.look, canvas.rng
    canvas.fill(box, look.shop, SHOP)
    canvas.texture(box, "plaster", 0.7)
    canvas.shade(box.rows(0, 1), 1.3)
    sign = box.rows(1, max(11, box.height // 6))
    _show_goods(canvas, box.grown(-sign.height - 4, -4, -max(6, box.height // 8), -4))
    canvas.shade(sign, 0.78)
    _write(canvas, sign, WORDS[rng.integers(len(WORDS))])
    canvas.shadow(sign, 5)
    if awning:
        cloth = sign.rows(sign.height, sign.height + box.height // 4)
        stripes = np.arange(cloth.width) // 6 % 2
        canvas.fill(cloth, look.shop)
        canvas.mix(cloth, CREAM, stripes)
        canvas.shade(cloth, np.linspace(1.15, 0.85, cloth.height)[:, np.newaxis])
        canvas.shadow(cloth, 10)


def _show_goods(canvas, glass):
    look, rng = canvas.look, canvas.rng
    y, x = _grid(glass.height, glass.width)
    lamps = 0.55 + 0.35 * np.cos(x * (2 * np.pi / 24) + rng.uniform(0, 6))
    glow = lamps * np.exp(-(((y / glass.height - 0.3) / 0.35) ** 2)) * rng.uniform(0.5, 0.85)
    inside = DARK[:, None, None] + glow * (LAMPLIGHT - DARK)[:, None, None]
    gleam = (x + y // 2 + rng.integers(60)) % 61 < 14
    inside += 0.3 * gleam * (look.sky[:, None, None] - inside)
    canvas.photo[glass.pixels] = inside
    left = glass.left + 2
    while left < glass.right - 8:
        height, width = rng.integers(5, 13), rng.integers(4, 9)
        goods = Box(glass.bottom - height, left, glass.bottom, left + width)
        canvas.fill(goods, rng.uniform(60, 220, 3).astype("float32"))
        left = goods.right + rng.integers(1, 5)
    panes = 1 + glass.width // 40
    for number in range(1, panes):
        bar = glass.width * number // panes
        canvas.fill(glass.columns(bar, bar + 2), 0.8 * look.shop)
    canvas.shade(glass.rows(0, 4), 0.6)


def _write(canvas, sign, word):
    rows = np.array([[int(row) for row in LETTERS[letter]] for letter in word])
    dots = rows[:, :, np.newaxis] // [4, 2, 1] % 2
    dots = np.pad(dots, ((0, 0), (0, 0), (0, 1)))  # a gap after each letter
    dots = dots.swapaxes(0, 1).reshape(5, -1)[:, :-1]
    size = min((sign.height - 2) // 5, (sign.width - 4) // dots.shape[1])
    if size:
        dots = np.kron(dots, np.ones((size, size)))
        height, width = dots.shape
        top, left = (sign.height - height) // 2, (sign.width - width) // 2
        canvas.mix(sign.rows(top, top + height).columns(left, left + width), CREAM, 0.9 * dots)


@functools.cache
def _grid(height, width):
    """Rows as float32 (height, 1), columns as (1, width)."""
    return np.arange(height, dtype="float32")[:, None], np.arange(width, dtype="float32")[None]


@functools.cache
def _distance(height, width, arch):
    """How far inside a window each pixel is, in pixels; its head is an arch of that height."""
    y, x = _grid(height, width)
    edge = np.minimum(np.minimum(x + 0.5, width - 0.5 - x), height - 0.5 - y)
    if not arch:
        return np.minimum(edge, y + 0.5).astype("float32")
    u, v = (x - (width - 1) / 2) / (width / 2), np.maximum(0, (arch - y - 0.5) / arch)
    radius = np.hypot(u, v) + 1e-6
    # From an ellipse, to first order: how far r is from 1, by how fast it changes.
    ellipse = (1 - radius) * radius / np.hypot(u / (width / 2), v / arch + 1e-6)
    return np.where(v > 0, np.minimum(edge, ellipse), edge).astype("float32")
