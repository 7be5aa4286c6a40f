"""Kinds of houses, and the look of a single one: colours and light.

A look is what a label map does not tell, and so what an encoder has to find out from a photo.
"""

from typing import NamedTuple

import numpy as np


class Style(NamedTuple):
    """What a kind of house may have. Colours are hexadecimal; one of each list is chosen."""

    walls: str
    trims: str
    frames: str
    blinds: str
    doors: str
    texture: str  # of the wall
    ground: str  # of the ground floor's wall
    roofs: tuple  # mansard, gable, balustrade, tiles or parapet
    railings: tuple  # iron, balusters or glass
    muntins: tuple  # bars across a window
    storey: tuple  # its height in pixels, from and to
    bay: tuple  # its width in pixels, from and to
    window: tuple  # its width in bays, from and to
    arches: tuple  # height of a window's head, in half its width
    hoods: tuple  # above a window: flat, pediment, arc or none
    balconies: tuple  # on a storey: none, each, middle or long
    pillars: tuple  # none, quoins, edges or bays
    surrounds: float  # the chance of mouldings around windows, and so on
    shutters: float
    rollers: float
    ornament: float
    shops: float


STYLES = (
    Style(  # Paris, after Haussmann
        walls="e6d8bb dccbaa ebe2cf d3c6ae",
        trims="f2ead6 e8dec6",
        frames="f1ede2 cfd3d0 8a8f8c",
        blinds="d9d6cc b9beb8 8e9a98",
        doors="27463f 3a2a22 243650 5d1f1f",
        texture="ashlar",
        ground="rustic",
        roofs=("mansard", "mansard", "balustrade"),
        railings=("iron",),
        muntins=(1, 2),
        storey=(68, 86),
        bay=(60, 80),
        window=(0.4, 0.5),
        arches=(0, 0, 0.35, 1),
        hoods=("flat", "pediment", "arc", "none"),
        balconies=("none", "none", "each", "long"),
        pillars=("none", "edges", "bays"),
        surrounds=0.9,
        shutters=0.15,
        rollers=0.25,
        ornament=0.8,
        shops=0.6,
    ),
    Style(  # townhouse of brick
        walls="a4503a 8a3f30 b9694e c49a62 74453a a5633f",
        trims="efe9dc dccfb2 cfc7b8",
        frames="f4f1ea 2e3a36 e8e2d2",
        blinds="e6ddc8 2f4a3c 5a6b78",
        doors="1f2d4d 6a1a1c 1d3b2c 26201d",
        texture="brick",
        ground="brick",
        roofs=("gable", "balustrade", "parapet", "parapet"),
        railings=("iron", "balusters"),
        muntins=(1, 2, 3),
        storey=(70, 94),
        bay=(66, 92),
        window=(0.42, 0.54),
        arches=(0, 0.3, 0.3, 1),
        hoods=("flat", "none", "flat", "pediment"),
        balconies=("none", "none", "none", "middle", "each"),
        pillars=("none", "quoins", "bays", "edges"),
        surrounds=0.6,
        shutters=0.08,
        rollers=0.3,
        ornament=0.6,
        shops=0.4,
    ),
    Style(  # Art Nouveau, in pastel
        walls="a9d3b6 eeb9b0 f3dc90 b7c9e8 d3b3de a4cbd2 f3c796",
        trims="fdfaf2 f6eedf",
        frames="fbf8f0 6f4a35 3c5a50",
        blinds="f2ecdc 9bb5a4 c79a8c",
        doors="5a3a26 3f6257 7a3440",
        texture="plaster",
        ground="rustic",
        roofs=("gable", "balustrade", "mansard"),
        railings=("iron", "balusters"),
        muntins=(1, 2),
        storey=(72, 92),
        bay=(64, 86),
        window=(0.42, 0.52),
        arches=(0, 0.4, 1, 1),
        hoods=("arc", "pediment", "flat", "none"),
        balconies=("none", "none", "each", "middle", "middle"),
        pillars=("bays", "edges", "none"),
        surrounds=0.9,
        shutters=0.0,
        rollers=0.25,
        ornament=1.0,
        shops=0.4,
    ),
    Style(  # Mediterranean
        walls="e59f4e d97f52 ecc67a d9948a f2e0bd c45c3f e0ab3a",
        trims="f6ecd8 ead8b8 faf4e8",
        frames="f3eee0 6b4a30 4d6a5a",
        blinds="2f6a4a 3f7a90 6f4c31 24527a 7c8f5a",
        doors="5b3a24 2f5648 3a4f6e",
        texture="plaster",
        ground="plaster",
        roofs=("tiles", "tiles", "parapet"),
        railings=("iron",),
        muntins=(2, 3),
        storey=(74, 96),
        bay=(74, 100),
        window=(0.32, 0.4),
        arches=(0, 0, 0, 1),
        hoods=("none", "none", "flat"),
        balconies=("none", "none", "each", "middle"),
        pillars=("none", "none", "quoins"),
        surrounds=0.6,
        shutters=0.7,
        rollers=0.1,
        ornament=0.35,
        shops=0.4,
    ),
    Style(  # modern
        walls="eceae4 cfd0ce dccfbb b4babc e6dfcf 9fb0b4 d9b79a",
        trims="f8f7f3 8f9496 d6d8d8",
        frames="3b4043 5b5f60 f4f4f2 2a2d30",
        blinds="dededa d07a30 5f7f9c c0b498",
        doors="33383c 7b4326 2c4a58",
        texture="concrete",
        ground="concrete",
        roofs=("parapet",),
        railings=("glass", "iron", "glass"),
        muntins=(0, 0, 1),
        storey=(56, 72),
        bay=(68, 98),
        window=(0.55, 0.74),
        arches=(0,),
        hoods=("none",),
        balconies=("none", "none", "each", "middle", "long"),
        pillars=("none", "none", "none", "bays"),
        surrounds=0.2,
        shutters=0.0,
        rollers=0.6,
        ornament=0.0,
        shops=0.5,
    ),
)
SKIES = "7fb0e8 a0c4ea c3ccd4 d5d8da e8cba6 6f9fd8"
SHOPS = "2b3a4a 6c1f24 1f4a36 3b2f2a 80613a 1f4f5a 6e6a62 a8382a"
IRON = "20221f 262b2a 1d2a26"
ZINC = "6f7a86 5c636b 7d8894"
TILES = "b0603f a8664a c07048"


class Look(NamedTuple):
    """What all parts of a house have in common. Colours are float32 (3,), 0 to 255."""

    wall: np.ndarray
    trim: np.ndarray
    frame: np.ndarray
    blind: np.ndarray
    door: np.ndarray
    shop: np.ndarray
    iron: np.ndarray
    zinc: np.ndarray
    tiles: np.ndarray
    sky: np.ndarray
    railing: str
    muntins: int
    sun: int  # 1: from the left, -1: from the right
    sunshine: float  # how much of the light a shadow takes
    brightness: float  # of the light


def pick(choices, rng):
    """One of several things."""
    return choices[rng.integers(len(choices))]


def pick_colour(colours, rng, spread=6):
    """About one of several colours: float32 (3,)."""
    colour = list(bytes.fromhex(pick(colours.split(), rng)))
    return (colour + rng.normal(0, spread, 3)).clip(8, 250).astype("float32")


def choose_look(style, rng):
    """A look that goes with a style."""
    wall = pick_colour(style.walls, rng)
    return Look(
        wall=wall,
        trim=0.9 * pick_colour(style.trims, rng) + 0.1 * wall,
        frame=pick_colour(style.frames, rng),
        blind=pick_colour(style.blinds, rng),
        door=pick_colour(style.doors, rng),
        shop=pick_colour(SHOPS, rng),
        iron=pick_colour(IRON, rng, spread=3),
        zinc=pick_colour(ZINC, rng),
        tiles=pick_colour(TILES, rng),
        sky=pick_colour(SKIES, rng),
        railing=pick(style.railings, rng),
        muntins=pick(style.muntins, rng),
        sun=pick((-1, 1), rng),
        sunshine=rng.uniform(0.3, 0.65),
        brightness=rng.uniform(0.9, 1.1),
    )
