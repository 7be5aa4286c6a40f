"""Draw images with a trained generator.

    python generate.py --model cgan --class 3                  # dresses; or --class dress
    python generate.py --model cgan                            # ten of each class, in columns
    python generate.py --model cgan_mnist --interpolate 2 6    # a 2 turns into a 6
    python generate.py --model gan --interpolate-latent        # one piece turns into another
    python generate.py --model gaugan                          # facades from label maps
    python generate.py --model gaugan --layout labels.png --style photo.jpg
    python generate.py --model cgan --learning                 # the pictures of its training
    python generate.py --model cgan --latent FILE.npz          # what explore.py has saved
    python generate.py --model some/generator.keras --count 1000 --save-arrays images.npz

Prints the path of each file that it writes.
"""

import math
import sys

# TensorFlow takes seconds to import. What needs it is imported in the functions that use it, so
# that help and errors come at once.
from common import UserError
from common.arguments import ArgumentParser, add_generator_options, path_of, problems_in_one_line
from common.files import PICTURES, check_writable, default_path, write_arrays
from common.models.generators import Generator
from common.sampling import finding, label_maps

import numpy as np

MAX_DRAWN = 1000  # images in one picture; an arrays file takes any number
MAX_CLASSES = 20  # drawn without --class, spread over all

# The options that each kind of picture takes, besides --model and --seed. A kind is chosen by the
# option of its name; None is what is drawn without such an option.
FILES = {"out", "save_arrays", "show"}
WALK = {*FILES, "frames", "frame_size", "fps"}
GOES_WITH = {
    "learning": {"out", "fps"},
    "latent": FILES,
    "interpolate": WALK,
    "interpolate_latent": {*WALK, "class_name", "layout", "layout_from", "latent_scale"},
    None: {*FILES, "class_name", "count", "layout", "layout_from", "style", "latent_scale"},
}
FOR_CLASSES = {"class_name", "interpolate"}
FOR_LABEL_MAPS = {"layout", "layout_from", "style", "latent_scale"}


def define_parser():
    """The command line of this script."""
    parser = ArgumentParser(prog="generate.py", description=__doc__)
    add_generator_options(parser)
    parser.add_argument(
        "--class",
        dest="class_name",
        metavar="CLASS",
        help="number or name of a class, or a part of its name (default: all classes)",
    )
    parser.add_integer("--count", 1, 1_000_000, None, "images (default: 100; GauGAN: 24)")
    parser.add_path(
        "--out", "FILE.png", "the picture, or a GIF with --learning (default: in generated/)"
    )
    parser.add_path(
        "--save-arrays",
        "FILE.npz",
        "also write `images`, float32 in [0, 1], (N, H, W, C), and `labels` if there are any",
    )
    parser.add_argument("--show", action="store_true", help="also open the picture in a window")
    drawn = parser.add_mutually_exclusive_group()
    drawn.add_argument(
        "--interpolate",
        nargs=2,
        metavar=("A", "B"),
        help="walk from class A to class B: a strip FILE.png and an animation FILE.gif",
    )
    drawn.add_argument(
        "--interpolate-latent",
        action="store_true",
        help="walk from one latent point to another instead",
    )
    drawn.add_argument(
        "--learning",
        action="store_true",
        help="animate the sample pictures of the training, from the run folder of the generator",
    )
    drawn.add_argument(
        "--latent",
        type=path_of,
        metavar="FILE.npz",
        help="draw the latents and labels in this file, which explore.py has saved",
    )
    parser.add_integer("--frames", 2, 1000, None, "images of a walk (default: 9)")
    parser.add_integer(
        "--frame-size", 16, 1024, None, "pixels of a side of a frame (default: 96; GauGAN: 256)"
    )
    parser.add_integer("--fps", 1, 50, None, "frames per second (default: 1; --learning: 6)")
    label_maps.add_options(parser)
    return parser


def check_options(arguments, generator):
    """The kind of picture to draw, a key of GOES_WITH.

    Raises UserError for options that do not go together, or not with the generator.
    """
    given = [
        name
        for name, value in vars(arguments).items()
        if value is not None and value is not False and name not in ("model", "seed")
    ]
    flags = {name: f"--{name.removesuffix('_name').replace('_', '-')}" for name in vars(arguments)}
    for name in given:
        if name in FOR_CLASSES and generator.label_kind not in ("integer", "one-hot"):
            raise UserError(
                f"{generator.name} has no classes to choose from: leave out {flags[name]}"
            )
        if name in FOR_LABEL_MAPS and generator.label_kind != "label map":
            raise UserError(f"{generator.name} takes no label maps: leave out {flags[name]}")
    kind = next((kind for kind in GOES_WITH if kind in given), None)
    for name in given:
        if name == kind or name in GOES_WITH[kind]:
            continue
        if kind:
            raise UserError(
                f"{flags[name]} does not go with {flags[kind]}: leave out {flags[name]}"
            )
        others = [flags[other] for other, options in GOES_WITH.items() if name in options]
        raise UserError(f"{flags[name]} needs {' or '.join(others)}")
    if arguments.layout_from is not None and not arguments.layout:
        raise UserError("--layout-from needs --layout")
    return kind


def find_classes(arguments, generator):
    """The numbers of the classes on the command line. Raises UserError for unknown ones."""
    asked = arguments.interpolate or [arguments.class_name]
    classes = [generator.find_class(text) for text in asked if text is not None]
    if arguments.interpolate and classes[0] == classes[1]:
        raise UserError(f"a walk from {asked[0]} to {asked[1]} stays where it is: give two classes")
    return classes


def spread_classes(generator):
    """The numbers of at most MAX_CLASSES classes, spread over all: integers (n,)."""
    from common import plotting

    return plotting.spread(len(generator.class_names), MAX_CLASSES)


def generate_images(generator, label, count, seed):
    """Draw images of one class, or of all classes in turn if `label` is None.

    The first images of a seed are the same, however many follow. Of more than MAX_CLASSES classes,
    so many are drawn.

    Returns images, float32 (count, H, W, C) in [0, 1], and labels, int32 (count,), or None where
    the generator takes none.
    """
    labels = None
    if generator.label_kind:
        classes = spread_classes(generator) if label is None else [label]
        labels = np.resize(np.array(classes, "int32"), count)
    latents = generator.random_latents(count, np.random.default_rng(seed))
    return generator.draw(latents, labels), labels


def generate_walk(generator, classes, frames, seed):
    """Draw the images on the way from class to class, if two are given, or from latent to latent.

    From latent to latent it is one walk for each class, or a single one where there are none. The
    walk begins at the latent of the first image that `generate_images` draws with the same seed.

    Returns images, float32 (walks, frames, H, W, C) in [0, 1], and labels, the share of each
    class, float32 (walks, frames, classes), or None where the generator takes none.
    """
    from common.sampling import interpolation

    first, last = generator.random_latents(2, np.random.default_rng(seed))
    latents = interpolation.slerp(first, first if len(classes) == 2 else last, frames)
    if not generator.label_kind:
        return generator.draw(latents)[np.newaxis], None

    n_classes = len(generator.class_names)
    standing = [(label, label) for label in classes or spread_classes(generator)]
    walks = [classes] if len(classes) == 2 else standing
    shares = [interpolation.mix_classes(*ends, frames, n_classes) for ends in walks]
    return np.stack([generator.draw(latents, row) for row in shares]), np.stack(shares)


def draw_images(generator, classes, arguments):
    """Draw images and write their picture. Returns what `generate_images` does."""
    from common import plotting

    label = classes[0] if classes else None
    images, labels = generate_images(generator, label, arguments.count or 100, arguments.seed)
    drawn = images[:MAX_DRAWN]
    if len(drawn) < len(images):
        print(f"generate.py: the picture shows the first {MAX_DRAWN} images", file=sys.stderr)
    shown = () if classes else spread_classes(generator)
    titles = tuple(generator.class_names[number] for number in shown)
    group = len(titles) or 10
    columns = min(len(drawn), group * math.ceil(math.sqrt(len(drawn)) / group))
    heading = generator.class_names[label] if classes else ""
    plotting.save_grid(drawn, arguments.out, columns, (titles * columns)[:columns], heading)
    return images, labels


def draw_walk(generator, classes, subject, arguments):
    """Draw a walk and write its strip and animation. Returns images and labels, one a frame."""
    from common import plotting
    from common.sampling import interpolation

    frames = arguments.frames or 9
    if subject:
        ends = label_maps.draw_latents(generator, None, 2, arguments)
        of_one = np.repeat(subject.label_maps[:1], frames, axis=0)
        images = generator.draw(interpolation.slerp(*ends, frames), of_one)[np.newaxis]
        labels = None
    else:
        images, labels = generate_walk(generator, classes, frames, arguments.seed)
    heading = " to ".join(generator.class_names[label] for label in classes)
    plotting.save_grid(np.concatenate(images), arguments.out, frames, (), heading)
    frame_size = arguments.frame_size or (256 if subject else 96)
    animation = arguments.out.with_suffix(".gif")
    plotting.save_animation(images, animation, frame_size, arguments.fps or 1)
    return np.concatenate(images), None if labels is None else np.concatenate(labels)


def draw_latents(generator, arguments):
    """Draw what a file of inputs holds, write the picture, and return images and labels."""
    from common import plotting
    from common.sampling import inputs

    latents, labels = inputs.load(arguments.latent, generator)
    images = generator.draw(latents, labels)
    plotting.save_grid(images, arguments.out, columns=min(len(images), 10))
    return images, labels


def draw_learning(generator, arguments):
    """Write the animation of the sample pictures beside a generator. Raises UserError for none."""
    from common.sampling import learning

    out = arguments.out or default_path(f"{finding.name_for_files(generator)}_learning.gif")
    check_writable(out, (".gif",))
    learning.draw(generator.path.parent, out, arguments.fps or 6)
    print(out)


def default_out(generator, classes, arguments):
    """A path that says what the picture shows: each option that was given is in its name."""
    parts = [finding.name_for_files(generator)]
    if arguments.latent:
        return default_path(f"{parts[0]}_{arguments.latent.stem}.png")
    parts += [generator.class_names[label] for label in classes]
    parts += [path.stem for path in (arguments.layout, arguments.style) if path]
    parts += ["walk"] * arguments.interpolate_latent
    for name, value in (
        ("", arguments.count),
        ("from", arguments.layout_from),
        ("scale", arguments.latent_scale),
        ("frames", arguments.frames),
        ("size", arguments.frame_size),
        ("fps", arguments.fps),
        ("seed", arguments.seed),
    ):
        if value is not None:
            parts.append(f"{name}{value:.10g}")
    return default_path(f"{'_'.join(parts)}.png")


def check_outputs(arguments, animated):
    """Raise UserError for files that cannot be written, before slow work is done for them."""
    if animated:
        check_writable(arguments.out.with_suffix(".gif"), (".gif",))
        if arguments.out.suffix.lower() == ".gif":
            arguments.out = arguments.out.with_suffix(".png")  # the strip goes beside it
    check_writable(arguments.out, PICTURES)
    if arguments.save_arrays:
        check_writable(arguments.save_arrays, (".npz",))


def main(argv=None):
    parser = define_parser()
    arguments = parser.parse_args(argv)
    with problems_in_one_line(parser):
        generator = Generator(finding.find(arguments.model))
        kind = check_options(arguments, generator)
        if kind == "learning":
            return draw_learning(generator, arguments)
        classes = find_classes(arguments, generator)
        arguments.out = arguments.out or default_out(generator, classes, arguments)
        animated = kind in ("interpolate", "interpolate_latent")
        check_outputs(arguments, animated)
        takes_label_maps = generator.label_kind == "label map" and kind != "latent"
        subject = label_maps.find_subject(generator, arguments) if takes_label_maps else None
        generator.load()
        if kind == "latent":
            images, labels = draw_latents(generator, arguments)
        elif animated:
            images, labels = draw_walk(generator, classes, subject, arguments)
        elif subject:
            images, labels = label_maps.draw_label_maps(generator, subject, arguments), None
        else:
            images, labels = draw_images(generator, classes, arguments)
        if arguments.save_arrays:
            write_arrays(arguments.save_arrays, images=images, labels=labels)
        # All is written before anything is printed, which may fail where standard output is closed.
        written = [arguments.out.with_suffix(".gif")] if animated else []
        print(*written, arguments.out, *filter(None, [arguments.save_arrays]), sep="\n", flush=True)
        if arguments.show:
            from common import plotting

            plotting.show(arguments.out)


if __name__ == "__main__":
    sys.exit(main())
