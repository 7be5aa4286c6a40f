"""Draw images with a trained generator.

    python generate.py --model cgan --class 3                  # dresses; or --class dress
    python generate.py --model cgan                            # ten of each class, in columns
    python generate.py --model cgan_mnist --interpolate 2 6    # a 2 turns into a 6
    python generate.py --model gan --interpolate-latent        # one piece turns into another
    python generate.py --model gaugan                          # facades from label maps
    python generate.py --model gaugan --layout labels.png --style photo.jpg
    python generate.py --model cgan --best                     # of the epoch with the best score
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
from common.arguments import ArgumentParser, add_generator_options, problems_in_one_line
from common.files import PICTURES, check_writable, default_path, run_folder, write_arrays
from common.models.generators import Generator
from common.sampling import finding, inputs, label_maps

import numpy as np

MAX_DRAWN = 1000  # images in one picture; an arrays file takes any number
MAX_DRAWN_BESIDE = 100  # the same beside label maps
MAX_CLASSES = 20  # drawn without --class, spread over all

# The options that each kind of picture takes, besides --model, --best and --seed. A kind is chosen
# by the option of its name; None is what is drawn without such an option.
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
    parser.add_switch("--show", "also open the picture in a window")
    parser.add_argument(
        "--interpolate",
        nargs=2,
        metavar=("A", "B"),
        help="walk from class A to class B: a strip FILE.png and an animation FILE.gif",
    )
    parser.add_switch("--interpolate-latent", "walk from one latent point to another instead")
    parser.add_switch(
        "--learning",
        "animate the sample pictures of the training, from the run folder of the generator",
    )
    parser.add_path(
        "--latent", "FILE.npz", "draw the latents and labels in this file that explore.py has saved"
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
        if value is not None and value is not False and name not in ("model", "best", "seed")
    ]
    flags = {name: f"--{name.removesuffix('_name').replace('_', '-')}" for name in vars(arguments)}
    kind = next((kind for kind in GOES_WITH if kind in given), None)
    for name in given:
        problem = f"{flags[name]} does not go with {flags.get(kind)}"
        if name in FOR_CLASSES and generator.label_kind not in ("integer", "one-hot"):
            problem = f"{generator.name} has no classes to choose from"
        elif name in FOR_LABEL_MAPS and generator.label_kind != "label map":
            problem = f"{generator.name} takes no label maps"
        elif name == kind or name in GOES_WITH[kind]:
            continue
        elif not kind:
            others = [flags[other] for other, options in GOES_WITH.items() if name in options]
            raise UserError(f"{flags[name]} needs {' or '.join(others)}")
        raise UserError(f"{problem}: leave out {flags[name]}")
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


def choose_images(generator, classes, count, seed):
    """`Inputs` for images of one class, or of all classes in turn if `classes` is empty.

    The first latents of a seed are the same, however many follow. Of more than MAX_CLASSES classes,
    so many are drawn.
    """
    labels, names = None, ()
    if generator.label_kind:
        shown = classes or spread_classes(generator)
        labels = np.resize(np.array(shown, "int32"), count)
        names = tuple(generator.class_names[number] for number in shown)
    drawn, group = min(count, MAX_DRAWN), len(names) if len(names) > 1 else 10
    columns = min(drawn, group * math.ceil(math.sqrt(drawn) / group))
    titles, heading = ((), names[0]) if classes else ((names * columns)[:columns], "")
    latents = generator.random_latents(count, np.random.default_rng(seed))
    return inputs.Inputs(latents, labels, columns, titles, heading)


def choose_walk(generator, classes, ends, frames):
    """`Inputs` for the way from class to class, if two are given, or from latent to latent.

    From latent to latent it is one walk for each class, or a single one where there are none, or
    for the first label map. `ends` are the `Inputs` of two images: a walk begins at the first
    latent, and ends at the second or, from class to class, where it began.
    """
    first, last = ends.latents
    latents = inputs.slerp(first, first if len(classes) == 2 else last, frames)
    heading = " to ".join(generator.class_names[label] for label in classes)
    if generator.label_kind == "label map":
        labels = np.repeat(ends.labels[:1], frames, axis=0)
    elif generator.label_kind:
        standing = [(label, label) for label in classes or spread_classes(generator)]
        walks = [classes] if len(classes) == 2 else standing
        n_classes = len(generator.class_names)
        labels = np.concatenate([inputs.mix_classes(*way, frames, n_classes) for way in walks])
        latents = np.concatenate([latents] * len(walks))
    else:
        labels = None
    return inputs.Inputs(latents, labels, frames, (), heading)


def draw_learning(generator, arguments):
    """Write the animation of the sample pictures beside a generator. Raises UserError for none."""
    from common.sampling import learning

    out = arguments.out or default_path(f"{finding.name_for_files(generator)}_learning.gif")
    check_writable(out, (".gif",))
    learning.draw(run_folder(generator.path), out, arguments.fps or 6)
    print(out)


def default_out(generator, classes, arguments):
    """A path that says what the picture shows: each option that was given is in its name."""
    parts = [finding.name_for_files(generator)]
    parts += [generator.class_names[label] for label in classes]
    files = arguments.latent, arguments.layout, arguments.style
    parts += [path.stem for path in files if path]
    parts += ["walk"] * arguments.interpolate_latent
    numbers = {
        "": arguments.count,
        "from": arguments.layout_from,
        "scale": arguments.latent_scale,
        "frames": arguments.frames,
        "size": arguments.frame_size,
        "fps": arguments.fps,
        "seed": None if arguments.latent else arguments.seed,
    }
    parts += [f"{name}{value:.10g}" for name, value in numbers.items() if value is not None]
    return default_path(f"{'_'.join(parts)}.png")


def main(argv=None):
    parser = define_parser()
    arguments = parser.parse_args(argv)
    with problems_in_one_line(parser):
        generator = Generator(finding.find(arguments.model, arguments.best))
        kind = check_options(arguments, generator)
        if kind == "learning":
            return draw_learning(generator, arguments)
        classes = find_classes(arguments, generator)
        out = arguments.out or default_out(generator, classes, arguments)
        is_walk = kind in ("interpolate", "interpolate_latent")
        files = {out.with_suffix(".gif"): (".gif",)} if is_walk else {}
        if is_walk and out.suffix.lower() == ".gif":
            out = out.with_suffix(".png")  # the strip goes beside it
        files[out] = PICTURES
        if arguments.save_arrays:
            files[arguments.save_arrays] = (".npz",)
        for path, suffixes in files.items():
            check_writable(path, suffixes)

        takes_label_maps = generator.label_kind == "label map"
        if is_walk:
            arguments.count = 2
        if kind == "latent":
            chosen = inputs.load(arguments.latent, generator)
        elif takes_label_maps:
            chosen = label_maps.choose(generator, arguments)
        else:
            chosen = choose_images(generator, classes, arguments.count or 100, arguments.seed)
        if is_walk:
            chosen = choose_walk(generator, classes, chosen, arguments.frames or 9)
        images = generator.draw(chosen.latents, chosen.labels)

        from common import plotting

        most = MAX_DRAWN if chosen.beside is None else MAX_DRAWN_BESIDE
        if len(images) > most:
            print(f"generate.py: the picture shows the first {most} images", file=sys.stderr)
        shown = chosen.with_beside(images[:most])
        plotting.save_grid(shown, out, chosen.columns, chosen.titles, chosen.heading)
        if is_walk:
            walks = images.reshape(-1, chosen.columns, *images.shape[1:])
            size = arguments.frame_size or (256 if takes_label_maps else 96)
            plotting.save_animation(walks, out.with_suffix(".gif"), size, arguments.fps or 1)
        if arguments.save_arrays:
            labels = None if takes_label_maps else chosen.labels
            write_arrays(arguments.save_arrays, images=images, labels=labels)
        # All is written before anything is printed, which may fail where standard output is closed.
        print(*files, sep="\n", flush=True)
        if arguments.show:
            plotting.show(out)


if __name__ == "__main__":
    sys.exit(main())
