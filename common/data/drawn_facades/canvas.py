"""What facades are painted on: a photo, its light and its label map, all at once.

So a label map is exact to the pixel, whatever is painted over what. Shadows go into the light, by
which the colours of the photo are multiplied in the end.
"""

import functools
from typing import NamedTuple

import numpy as np

CLASSES = range(12)  # numbered as in common/data/facades.py
(
    BACKGROUND,
    FACADE,
    WINDOW,
    DOOR,
    CORNICE,
    SILL,
    BALCONY,
    BLIND,
    DECO,
    MOLDING,
    PILLAR,
    SHOP,
) = CLASSES

MARGIN = 32  # around the picture, so that parts may reach over its edge; cut off in the end


class Box(NamedTuple):
    """A rectangle of pixels; `bottom` and `right` are the first ones outside."""

    top: int
    left: int
    bottom: int
    right: int

    @property
    def height(self):
        return self.bottom - self.top

    @property
    def width(self):
        return self.right - self.left

    @property
    def pixels(self):
        """The index of these pixels in the last two axes of a canvas's arrays."""
        return (
            ...,
            slice(MARGIN + self.top, MARGIN + self.bottom),
            slice(MARGIN + self.left, MARGIN + self.right),
        )

    def rows(self, start, stop):
        """The part between two rows, counted from the top; beyond it, if need be."""
        return Box(self.top + start, self.left, self.top + stop, self.right)

    def columns(self, start, stop):
        """The part between two columns, counted from the left; beyond it, if need be."""
        return Box(self.top, self.left + start, self.bottom, self.left + stop)

    def last_rows(self, count):
        return self.rows(self.height - count, self.height)

    def last_columns(self, count):
        return self.columns(self.width - count, self.width)

    def grown(self, top=0, left=0, bottom=0, right=0):
        return Box(self.top - top, self.left - left, self.bottom + bottom, self.right + right)

    def wider(self, pixels):
        return self.grown(left=pixels, right=pixels)


class Canvas:
    """A facade in the making.

    Attributes:
        photo: float32 (3, H, W), colours from 0 to 255 in even light.
        light: float32 (H, W), 1 where it is neither lit nor shaded.
        layout: uint8 (H, W), a class for each pixel.
        look: the `styles.Look` of the facade.
        rng: numpy Generator of all that is random about it.
    """

    def __init__(self, height, width, look, rng):
        self.picture = Box(0, 0, height, width)
        shape = (height + 2 * MARGIN, width + 2 * MARGIN)
        self.photo = np.empty((3, *shape), np.float32)
        self.light = np.ones(shape, np.float32)
        self.layout = np.zeros(shape, np.uint8)
        self.look, self.rng = look, rng

    def fill(self, box, colour, label=None):
        """Paint a box in one colour, float32 (3,). Without a label, its classes stay."""
        self.photo[box.pixels] = colour[:, np.newaxis, np.newaxis]
        if label is not None:
            self.layout[box.pixels] = label

    def mix(self, box, colour, share):
        """Mix a colour, or an array of them (3, h, w), with what is in the box."""
        below = self.photo[box.pixels]
        below += share * ((colour.reshape(3, 1, 1) if colour.ndim == 1 else colour) - below)

    def shape(self, box, inside, colour, label):
        """Paint the part of a box where `inside` (h, w) is 1, not where it is 0; between, mix."""
        self.mix(box, colour, inside)
        self.layout[box.pixels][inside > 0.5] = label

    def shade(self, box, factor):
        """Multiply the light in a box by a number or an array."""
        self.light[box.pixels] *= factor

    def shadow(self, box, depth):
        """Shade what is beneath a box, as if it stood out by `depth` pixels."""
        aside = self.look.sun * (depth // 2)
        below = Box(box.bottom, box.left + aside, box.bottom + depth, box.right + aside)
        self.shade(below, 1 - self.look.sunshine * _ramp(depth))

    def relief(self, box, colour, label, depth):
        """Paint a part that stands out of the wall: bright above, dark below, with a shadow."""
        self.fill(box, colour, label)
        self.shade(box.rows(0, 1), 1.14)
        self.shade(box.last_rows(1), 0.7)
        if depth:
            self.shadow(box, depth)

    def texture(self, box, name, strength=1.0):
        """Give what is in a box a random piece of one of the `_textures`.

        `strength` is a number or an array (h, w), 1 for the texture as it is.
        """
        texture = _textures()[name]
        top, left = self.rng.integers(0, len(texture) - max(box.height, box.width), 2)
        piece = texture[top : top + box.height, left : left + box.width]
        self.photo[box.pixels] *= 1 + np.float32(strength) * piece

    def develop(self):
        """The photo uint8 (H, W, 3), with a camera's blur and grain, and the layout (H, W)."""
        height, width = self.picture.height, self.picture.width
        top, left = self.rng.integers(0, 400, 2)
        grain = _textures()["grain"][top : top + height, left : left + width]
        photo = np.empty((height, width, 3), np.uint8)
        for number, colour in enumerate(self.photo[self.picture.pixels]):
            colour = colour * self.light[self.picture.pixels]
            colour[1:-1] = 0.7 * colour[1:-1] + 0.15 * (colour[:-2] + colour[2:])
            colour[:, 1:-1] = 0.7 * colour[:, 1:-1] + 0.15 * (colour[:, :-2] + colour[:, 2:])
            photo[..., number] = np.clip(colour + grain, 0, 255)
        return photo, self.layout[self.picture.pixels].copy()


@functools.cache
def _ramp(depth):
    return np.linspace(1.1, 0.3, depth, dtype="float32")[:, np.newaxis]


@functools.cache
def _textures():
    """How much brighter or darker than even light: float32 (1024, 1024) each, made once."""
    rng = np.random.default_rng(0)
    size = 1024
    frequency = np.hypot(np.fft.fftfreq(size)[:, np.newaxis], np.fft.rfftfreq(size))
    y, x = np.mgrid[:size, :size]

    def noise(spectrum):
        field = np.fft.irfft2(np.fft.rfft2(rng.standard_normal((size, size))) * spectrum)
        return field / field.std()

    def masonry(height, width, joint, variation):
        """Courses of stones, each a little different, every second one moved by half a stone."""
        course = y // height
        along = x + (course % 2) * (width // 2)
        tone = variation * rng.standard_normal((size // height + 1, size // width + 2))
        is_joint = (y % height == 0) | (along % width == 0)
        return np.where(is_joint, joint, tone[course, along // width])

    clouds = noise((frequency + 2 / size) ** -1.6)
    fine = noise(np.exp(-((frequency / 0.2) ** 2)))
    # Rain washes dirt straight down.
    streaks = np.convolve(rng.standard_normal(size), np.hanning(7), "same") * (0.5 + 0.3 * clouds)
    textures = {
        "clouds": clouds,
        "weather": 0.03 * clouds + 0.012 * streaks + 0.008 * fine,
        "plaster": 0.022 * fine,
        "brick": masonry(4, 10, 0.2, 0.09) + 0.02 * fine,
        "ashlar": masonry(15, 36, -0.16, 0.03) + 0.018 * fine,
        "concrete": masonry(46, 64, -0.14, 0.015) + 0.014 * fine,
        "rustic": np.where(y % 13 < 2, -0.3, 0.0) + 0.02 * fine,
        "grain": 2.8 * rng.standard_normal((size, size)),  # of 255
    }
    return {name: texture.astype("float32") for name, texture in textures.items()}
