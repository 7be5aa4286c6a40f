"""Shows a data set: python -m common.data fashion|mnist|facades."""

import sys

from common import plotting
from common.arguments import (
    ArgumentParser,
    add_data_option,
    add_image_options,
    add_label_map_option,
    add_pairs_option,
    problems_in_one_line,
)
from common.data import datasets, facades
from common.files import PICTURES, check_writable, default_path

import numpy as np


def define_parser():
    """The command line: the name of a data set, and the options of that data set."""
    parser = ArgumentParser(
        prog="python -m common.data",
        description="Print what a data set holds, and draw the first of its images.",
    )
    commands = parser.add_subparsers(dest="name", required=True, metavar="NAME")
    for name, load, text in (
        ("fashion", datasets.load_fashion_mnist, "Fashion-MNIST: clothes"),
        ("mnist", datasets.load_mnist, "MNIST: handwritten digits"),
    ):
        command = commands.add_parser(name, help=text, description=text)
        add_data_option(command)
        add_image_options(command)
        command.add_path("--out", "FILE.png", "the picture", default_path(f"{name}_100.png"))
        command.set_defaults(show=show_images, load=load)
    text = "building facades, or other photos with their label maps"
    command = commands.add_parser("facades", help=text, description=text)
    add_data_option(command, facades.SOURCES)
    command.add_integer("--count", 1, 100, 6, "facades in the picture")
    add_label_map_option(command)
    add_pairs_option(command)
    command.add_path("--out", "FILE.png", "the picture (default: generated/facades_first_6.png)")
    command.set_defaults(show=show_facades)
    return parser


def show_images(arguments):
    """Draw 100 images, print the classes and their counts. Returns the path of the picture."""
    dataset = arguments.load(
        arguments.data, image_size=arguments.image_size, channels=arguments.channels
    )
    shown = datasets.choose(len(dataset.images), 100, seed=0)  # a file may be sorted by class
    plotting.save_grid(dataset.images[shown].astype("float32") / 255, arguments.out)

    count, height, width, channels = dataset.images.shape
    kind = "" if channels == 1 else " in colour"
    print(f"{count:,} images of {height} x {width}{kind} from {dataset.source}")
    for label, name in enumerate(dataset.class_names):
        print(f"{label}  {name:12}{np.count_nonzero(dataset.labels == label):7,}")
    return arguments.out


def show_facades(arguments):
    """Draw the first facades, print sizes and classes. Returns the path of the picture."""
    dataset = facades.load_facades(arguments.data, arguments.layout_from, arguments.pairs)
    shown = dataset.first(arguments.count)
    out = arguments.out or default_path(f"facades_first_{len(shown.images)}.png")
    photos, label_maps = facades.centre_crops(facades.fit(shown, 256), 256)
    pairs = np.stack([facades.colours(label_maps, dataset.colours), photos], axis=1)
    pairs = pairs.reshape(-1, 256, 256, 3).astype("float32") / 255
    plotting.save_grid(pairs, out, columns=min(6, len(pairs)))

    heights, widths = zip(*(label_map.shape for label_map in dataset.label_maps), strict=True)
    print(
        f"{len(dataset.images):,} facades, {min(heights)} to {max(heights)} high and "
        f"{min(widths)} to {max(widths)} wide, from {dataset.source}"
    )
    n_classes = len(dataset.class_names)
    pixels = sum(np.bincount(one.ravel(), minlength=n_classes) for one in dataset.label_maps)
    for label, name in enumerate(dataset.class_names):
        print(f"{label:2}  {name:12}{pixels[label]:12,}{pixels[label] / pixels.sum():8.1%}")
    return out


def main(argv=None):
    parser = define_parser()
    arguments = parser.parse_args(argv)
    with problems_in_one_line(parser):
        if arguments.out:
            check_writable(arguments.out, PICTURES)
        print(arguments.show(arguments))


if __name__ == "__main__":
    sys.exit(main())
