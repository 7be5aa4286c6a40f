"""A house: storeys of bays, each with a window; on the ground floor doors and shops."""

from typing import NamedTuple

from common.data.drawn_facades import parts
from common.data.drawn_facades.canvas import FACADE, Box
from common.data.drawn_facades.roofs import paint_roof
from common.data.drawn_facades.styles import pick

import numpy as np

HOOD_HEIGHTS = {"none": 0, "flat": 5, "pediment": 15, "arc": 14}


class Plan(NamedTuple):
    """What the storeys of a house have in common; sizes in pixels."""

    bays: tuple  # (left, right) of each
    middle: range  # the numbers of the bays in the middle
    window: int  # width
    arch: float  # height of a window's head
    hood: str
    surround: int  # thickness of the moulding around a window
    band: int  # height of the moulding between storeys
    shutters: bool
    rollers: bool


def paint_house(canvas, box, style):
    """Paint a house of a style into its box."""
    rng, look = canvas.rng, canvas.look
    wall = paint_roof(canvas, box, style)
    canvas.fill(wall, look.wall, FACADE)
    canvas.texture(wall, style.texture)

    count = max(3, round(wall.height / rng.uniform(*style.storey)))
    shares = np.linspace(0.94, 1.06, count)  # the higher, the lower
    shares[-1] = rng.uniform(1.15, 1.4)  # the ground floor
    floors = np.cumsum(shares) / shares.sum() * wall.height
    floors = [0, *floors.round().astype(int).tolist()]
    *storeys, ground = (wall.rows(*ends) for ends in zip(floors[:-1], floors[1:], strict=True))
    if style.ground != style.texture:
        canvas.texture(ground, style.ground)

    plan = _choose_plan(style, wall, rng)
    _pillars(canvas, wall.rows(0, floors[-2]), style, plan)
    for number, storey in enumerate(storeys):
        _storey(canvas, storey, style, plan, is_top=number == 0)
    _ground_floor(canvas, ground, style, plan)
    canvas.texture(wall, "weather")


def _choose_plan(style, wall, rng):
    count = max(3, round(wall.width / rng.uniform(*style.bay)))
    margin = rng.uniform(0.02, 0.06) * wall.width
    sides = np.linspace(wall.left + margin, wall.right - margin, count + 1).round().astype(int)
    sides = sides.tolist()
    width = int(rng.uniform(*style.window) * wall.width / count)
    return Plan(
        bays=tuple(zip(sides[:-1], sides[1:], strict=True)),
        middle=range((count - 1) // 2, count // 2 + 1),
        window=width,
        arch=pick(style.arches, rng) * width / 2,
        hood=pick(style.hoods, rng),
        surround=int(rng.integers(2, 6)) if rng.random() < style.surrounds else 0,
        band=int(rng.integers(4, 11)) if rng.random() < 0.85 else 0,
        shutters=rng.random() < style.shutters,
        rollers=rng.random() < style.rollers,
    )


def _pillars(canvas, upper, style, plan):
    """Pillars from the first floor to the cornice: at the edges, or between all bays."""
    rng = canvas.rng
    kind = pick(style.pillars, rng)
    if kind == "quoins":
        parts.quoins(canvas, upper.columns(0, 14))
        parts.quoins(canvas, upper.last_columns(14))
    elif kind != "none":
        width, fluted = int(rng.integers(7, 12)), rng.random() < 0.5
        first, last = plan.bays[0][0], plan.bays[-1][1]
        places = [first, last] if kind == "edges" else [first, *(right for _, right in plan.bays)]
        for place in places:
            left = min(max(place - width // 2, upper.left + 3), upper.right - width - 3)
            parts.pilaster(canvas, Box(upper.top, left, upper.bottom, left + width), fluted)


def _storey(canvas, storey, style, plan, is_top):
    rng = canvas.rng
    hood = "none" if is_top else pick(("none", plan.hood, plan.hood), rng)
    if HOOD_HEIGHTS[hood] > 0.2 * storey.height:
        hood = "flat"
    balcony = pick(style.balconies, rng) if not is_top else "none"
    arch = plan.arch if rng.random() < 0.8 else 0.0
    with_panels = hood == "none" and rng.random() < 0.8 * style.ornament
    with_keystones = hood == "none" and rng.random() < 0.6 * style.ornament
    with_medallions = rng.random() < 0.3 * style.ornament
    above = plan.surround + HOOD_HEIGHTS[hood] + int(rng.uniform(0.06, 0.12) * storey.height)
    below = plan.band + 8 + int(rng.uniform(0.05, 0.12) * storey.height) + 8 * with_panels
    if plan.band:
        parts.band(canvas, storey.last_rows(plan.band))
    for number, (left, right) in enumerate(plan.bays):
        has_balcony = balcony in ("each", "long") or (balcony == "middle" and number in plan.middle)
        start = (left + right - plan.window) // 2
        bottom = storey.bottom - (plan.band + 1 if has_balcony else below)
        box = Box(storey.top + above, start, bottom, start + plan.window)
        _window(canvas, box, plan, min(arch, box.height // 2), hood)
        if with_keystones:
            _rosette(canvas, (left + right) // 2, box.top - plan.surround // 2, 15)
        if with_medallions and number and right - left > plan.window * (1 + plan.shutters) + 34:
            _rosette(canvas, left, box.top + box.height // 3, 20)
        if not has_balcony:
            parts.sill(canvas, box.rows(box.height, box.height + 5).wider(5))
            field = Box(box.bottom + 7, box.left, storey.bottom - plan.band - 2, box.right)
            if with_panels and field.height > 8:
                parts.panel(canvas, field)
        elif balcony != "long":
            parts.balcony(canvas, box.rows(box.height - 22, box.height + 2).wider(6))
    if balcony == "long":
        bottom = storey.bottom - plan.band + 1
        parts.balcony(canvas, Box(bottom - 24, plan.bays[0][0], bottom, plan.bays[-1][1]))


def _window(canvas, box, plan, arch, hood="none"):
    if plan.surround:
        parts.surround(canvas, box, arch, plan.surround)
    drawn_down = pick((0, 0, 0, 0.25, 0.25, 0.5, 0.85), canvas.rng) if plan.rollers else 0
    parts.window(canvas, box, arch, drawn_down)
    if plan.shutters:
        parts.shutters(canvas, box.grown(top=-int(arch)), max(6, plan.window // 2 - 1))
    if hood != "none":
        bottom = -plan.surround - 2
        parts.hood(canvas, box.rows(bottom - HOOD_HEIGHTS[hood], bottom).wider(7), hood)


def _rosette(canvas, x, y, size):
    half = size // 2
    parts.rosette(canvas, Box(y - half, x - half, y - half + size, x - half + size))


def _ground_floor(canvas, ground, style, plan):
    rng = canvas.rng
    count = len(plan.bays)
    entrance = int(rng.integers(count)) if rng.random() < 0.4 else count // 2
    is_shopping_street, with_awnings = rng.random() < style.shops, rng.random() < 0.4
    band = max(6, plan.band)
    parts.band(canvas, ground.rows(0, band))
    canvas.fill(ground.last_rows(7), 0.75 * canvas.look.wall, FACADE)
    top = ground.top + band + int(0.14 * ground.height)
    for number, (left, right) in enumerate(plan.bays):
        centre = (left + right) // 2
        if number == entrance:
            half = max(15, int(0.25 * (right - left)))
            box = Box(top - 4, centre - half, ground.bottom, centre + half)
            arch = 0.8 * half if plan.arch else 0.0
            parts.surround(canvas, box, arch, max(3, plan.surround))
            parts.door(canvas, box, arch)
            if rng.random() < style.ornament:
                _rosette(canvas, centre, box.top - 4, 17)
        elif is_shopping_street and rng.random() < 0.8:
            box = Box(top - 6, left + 5, ground.bottom, right - 4)
            parts.shop(canvas, box, with_awnings)
        else:
            left = centre - plan.window // 2
            bottom = ground.bottom - int(0.28 * ground.height)
            box = Box(top, left, bottom, left + plan.window)
            _window(canvas, box, plan, 0.0 if is_shopping_street else plan.arch)
            parts.sill(canvas, box.rows(box.height, box.height + 5).wider(5))
