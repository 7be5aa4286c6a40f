"""Draw pictures with a trained generator.

    python generate.py --model cgan --class 3                  # dresses; or --class dress
    python generate.py --model cgan                            # ten of each class, in columns
    python generate.py --model cgan_mnist --interpolate 2 6    # a 2 turns into a 6
    python generate.py --model gan --interpolate-latent        # one piece turns into another
    python generate.py --model gaugan                          # layouts painted as facades
    python generate.py --model gaugan --layout labels.png --style photo.jpg
    python generate.py --model some/generator.keras --count 1000 --save-arrays images.npz

Prints the path of each file that it writes.
"""

import math
import sys
from pathlib import Path

# TensorFlow takes seconds to import. What needs it is imported in the functions that use it, so
# that help and errors come at once.
from common import UserError
from common.arguments import ArgumentParser, problems_in_one_line
from common.drawing import generators, label_maps
from common.files import check_writable, default_path, replacing

import numpy as np

MOST_DRAWN = 1000  # images in one picture; an arrays file takes any number
BATCH = 100


def define_parser():
    """The command line of this script."""
    parser = ArgumentParser(prog="generate.py", description=__doc__)
    parser.add_argument(
        "--model",
        required=True,
        metavar="NAME|PATH.keras",
        help=f"{generators.NAMES}, for the one in runs/; or the path of a saved generator",
    )
    parser.add_argument(
        "--class",
        dest="class_name",
        metavar="CLASS",
        help="number or name of a class (default: all classes)",
    )
    parser.add_integer(
        "--count", 1, 1_000_000, None, "how many images (default: 100; of GauGAN, 24)"
    )
    parser.add_integer("--seed", 0, 2**32 - 1, 0, "another seed, other images")
    parser.add_argument(
        "--out", type=Path, metavar="FILE.png", help="the picture (default: named in generated/)"
    )
    parser.add_argument(
        "--save-arrays",
        type=Path,
        metavar="FILE.npz",
        help="also write `images`, float32 in [0, 1], (N, H, W, C), and `labels` if there are any",
    )
    parser.add_argument("--show", action="store_true", help="also open the picture in a window")
    parser.add_argument(
        "--interpolate",
        nargs=2,
        metavar=("A", "B"),
        help="walk from class A to class B: a strip FILE.png and an animation FILE.gif",
    )
    parser.add_argument(
        "--interpolate-latent",
        action="store_true",
        help="walk from one latent point to another instead",
    )
    parser.add_integer("--frames", 2, 1000, None, "images of a walk (default: 9)")
    parser.add_integer(
        "--frame-size", 16, 1024, None, "its pixels in the animation (default: 96; 256)"
    )
    parser.add_integer("--fps", 1, 50, None, "frames per second of the animation (default: 1)")
    label_maps.add_options(parser)
    return parser


def check_options(arguments, script):
    """Fill in the defaults. Raises UserError for options that do not go together."""
    paints = generators.KINDS[script].paints
    for option in ("layout", "style", "latent_scale"):
        if not paints and getattr(arguments, option) is not None:
            raise UserError(
                f"{script} paints no layouts: --{option.replace('_', '-')} is for gaugan only"
            )
    walks = bool(arguments.interpolate) + arguments.interpolate_latent
    if walks == 2:
        raise UserError("--interpolate and --interpolate-latent are two walks: give one of them")
    if arguments.interpolate and arguments.class_name is not None:
        raise UserError("--interpolate names its two classes itself: leave out --class")
    if walks and arguments.count is not None:
        raise UserError("a walk has --frames images: leave out --count")
    for option, default in (("frames", 9), ("frame_size", 256 if paints else 96), ("fps", 1)):
        if not walks and getattr(arguments, option) is not None:
            raise UserError(f"--{option.replace('_', '-')} needs one of the --interpolate options")
        if getattr(arguments, option) is None:
            setattr(arguments, option, default)
    if paints:
        label_maps.check_options(arguments)
    elif arguments.count is None:
        arguments.count = 100


def generate_images(generator, kind, label, count, seed):
    """Draw images of one class, or of all classes in turn if `label` is None.

    The first images of a seed are the same, however many follow.

    Returns images, float32 (count, H, W, C) in [0, 1], and labels, int32 (count,), or None where
    the generator takes none.
    """
    labels = None
    if kind.class_names:
        all_in_turn = np.arange(count, dtype="int32") % len(kind.class_names)
        labels = all_in_turn if label is None else np.full(count, label, "int32")
    rng = np.random.default_rng(seed)
    latent_dim = generator.inputs[0].shape[1]
    images = np.empty((count, *generator.output_shape[1:]), "float32")
    for start in range(0, count, BATCH):
        batch = images[start : start + BATCH]
        inputs = rng.standard_normal((len(batch), latent_dim), dtype="float32")
        if labels is not None:
            inputs = [inputs, encode(labels[start : start + BATCH], generator)]
        batch[:] = to_unit(generator.predict_on_batch(inputs), kind)
    return images, labels


def encode(labels, generator):
    """Integers (n,) to what the generator takes: integers (n, 1), or one-hot vectors."""
    width = generator.inputs[1].shape[1]
    return labels.reshape(-1, 1) if width == 1 else np.eye(width, dtype="float32")[labels]


def to_unit(pixels, kind):
    """Scale the generator's output to [0, 1]."""
    return (pixels - kind.pixel_min) / (1 - kind.pixel_min)


def generate_walk(generator, kind, classes, frames, seed):
    """Draw the images on the way from class to class, if two are given, or from latent to latent.

    From latent to latent it is one walk for each class, or a single one where there are none. The
    walk begins at the latent of the first image that `generate_images` draws with the same seed.

    Returns images, float32 (walks, frames, H, W, C) in [0, 1], and labels, the share of each
    class, float32 (walks, frames, classes), or None where the generator takes none.
    """
    from common.drawing import interpolation

    latent_dim = generator.inputs[0].shape[1]
    first, last = np.random.default_rng(seed).standard_normal((2, latent_dim), dtype="float32")
    if not kind.class_names:
        images = generator.predict_on_batch(interpolation.slerp(first, last, frames))
        return to_unit(images, kind)[np.newaxis], None

    if len(classes) == 2:
        latents = np.tile(first, (frames, 1))
        labels = [interpolation.mix_classes(*classes, frames, len(kind.class_names))]
    else:
        latents = interpolation.slerp(first, last, frames)
        labels = [
            interpolation.mix_classes(label, label, frames, len(kind.class_names))
            for label in classes or range(len(kind.class_names))
        ]
    mixing = interpolation.accept_mixed_labels(generator)
    images = [to_unit(mixing.predict_on_batch([latents, row]), kind) for row in labels]
    return np.stack(images), np.stack(labels)


def draw_images(generator, kind, classes, arguments):
    """Draw images and write their picture. Returns what `generate_images` does."""
    from common import plotting

    label = classes[0] if classes else None
    images, labels = generate_images(generator, kind, label, arguments.count, arguments.seed)
    drawn = images[:MOST_DRAWN]
    if len(drawn) < len(images):
        print(f"generate.py: the picture shows the first {MOST_DRAWN} images", file=sys.stderr)
    columns = min(len(drawn), 10 * math.ceil(math.sqrt(len(drawn)) / 10))
    titles = kind.class_names if label is None and columns == len(kind.class_names) else ()
    heading = "" if label is None else kind.class_names[label]
    plotting.save_grid(drawn, arguments.out, columns, titles, heading)
    return images, labels


def draw_walk(generator, kind, classes, subject, arguments):
    """Draw a walk and write its strip and animation. Returns images and labels, one a frame."""
    from common import plotting

    if kind.paints:
        images, labels = label_maps.paint_walk(generator, subject, arguments), None
    else:
        images, labels = generate_walk(generator, kind, classes, arguments.frames, arguments.seed)
    heading = " → ".join(kind.class_names[label] for label in classes)
    plotting.save_grid(np.concatenate(images), arguments.out, arguments.frames, (), heading)
    animation = arguments.out.with_suffix(".gif")
    plotting.save_animation(images, animation, arguments.frame_size, arguments.fps)
    print(animation)
    return np.concatenate(images), None if labels is None else np.concatenate(labels)


def default_out(script, kind, classes, arguments, count):
    """A path that says what the picture shows; `count` is what the command line said, or None."""
    parts = [script, *(kind.class_names[label] for label in classes)]
    parts += [path.stem for path in (arguments.layout, arguments.style) if path]
    parts += ["walk"] * arguments.interpolate_latent
    parts += [str(count)] * (count not in (None, 100))
    if arguments.latent_scale not in (None, 1):
        parts.append(f"scale{arguments.latent_scale:g}")
    return default_path("_".join([*parts, f"seed{arguments.seed}.png"]))


def main(argv=None):
    parser = define_parser()
    arguments = parser.parse_args(argv)
    count = arguments.count
    with problems_in_one_line(parser):
        path, script = generators.find(arguments.model)
        kind = generators.KINDS[script]
        check_options(arguments, script)
        asked = arguments.interpolate or [arguments.class_name]
        classes = [generators.find_class(text, script) for text in asked if text is not None]
        if arguments.interpolate and classes[0] == classes[1]:
            raise UserError(f"from {asked[0]} to {asked[1]} is no way: give two different classes")
        walking = arguments.interpolate or arguments.interpolate_latent
        if arguments.out:
            check_writable(arguments.out, ".png")
            if walking:
                check_writable(arguments.out.with_suffix(".gif"), ".gif")
        if arguments.save_arrays:
            check_writable(arguments.save_arrays, ".npz")

        subject = label_maps.find_subject(path, arguments) if kind.paints else None
        generator = generators.load(path, script)
        encoder = None
        if arguments.style:
            encoder = generators.load_encoder(label_maps.encoder_path(path), generator)
        if not arguments.out:
            arguments.out = default_out(script, kind, classes, arguments, count)
        if walking:
            images, labels = draw_walk(generator, kind, classes, subject, arguments)
        elif kind.paints:
            images = label_maps.draw_paintings(generator, encoder, subject, arguments)
            labels = None
        else:
            images, labels = draw_images(generator, kind, classes, arguments)
        print(arguments.out)
        if arguments.save_arrays:
            arrays = {"images": images} if labels is None else {"images": images, "labels": labels}
            # An open file, since numpy would add .npz to a name that ends otherwise, as in .NPZ.
            with replacing(arguments.save_arrays) as beside, open(beside, "wb") as file:
                np.savez(file, **arrays)
            print(arguments.save_arrays)
        if arguments.show:
            from common import plotting

            plotting.show(arguments.out)


if __name__ == "__main__":
    sys.exit(main())
