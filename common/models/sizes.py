"""Image sizes that networks can halve or double: 16, 28, 32, 56, 64, 112 and 128 pixels."""

from common import UserError

SIZES = tuple(sorted(start * 2**n for start in (7, 8) for n in range(1, 5) if start * 2**n >= 16))


def count_halvings(image_shape):
    """How many times square images can be halved until 7 or 8 pixels a side are left.

    For 28 and for 32 pixels that is 2 times. `image_shape` is (H, W, C). Raises UserError for
    images of a size that is not in `SIZES`, with the nearest sizes that are.
    """
    height, width = image_shape[:2]
    if height != width:
        raise UserError(f"the images are {height} x {width}, not square")
    if height not in SIZES:
        smaller = [size for size in SIZES if size < height][-1:]
        larger = [size for size in SIZES if size > height][:1]
        nearest = " or ".join(map(str, smaller + larger))
        raise UserError(
            f"images of {height} x {height} cannot be halved to 7 or 8 pixels: "
            f"the nearest that can are {nearest} (--image-size)"
        )
    return (height // 7).bit_length() - 1
