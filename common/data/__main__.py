"""Shows a data set: python -m common.data fashion|mnist|facades."""

import sys

from common import arguments, plotting
from common.data import datasets, facades
from common.files import PICTURES, check_writable, default_path

import numpy as np

DATASETS = {
    "fashion": "Fashion-MNIST: clothes",
    "mnist": "MNIST: handwritten digits",
    "facades": "building facades, or other photos with their label maps",
}


def define_parser():
    """The command line: the name of a data set, and the options of that data set."""
    parser = arguments.ArgumentParser(
        prog="python -m common.data",
        description="Print what a data set holds, and draw the first of its images.",
    )
    commands = parser.add_subparsers(dest="name", required=True, metavar="NAME")
    for name, text in DATASETS.items():
        command = commands.add_parser(name, help=text, description=text)
        if name == "facades":
            arguments.add_data_option(command, facades.SOURCES)
            command.add_integer("--count", 1, 100, 6, "facades in the picture")
            arguments.add_label_map_option(command)
            arguments.add_pairs_option(command)
        else:
            arguments.add_data_option(command)
            arguments.add_image_options(command)
        command.add_path("--out", "FILE.png", "the picture (default: one in generated/)")
    return parser


def show_images(given):
    """Draw 100 images, print the classes and their counts. Returns the path of the picture."""
    load = datasets.load_mnist if given.name == "mnist" else datasets.load_fashion_mnist
    dataset = load(given.data, image_size=given.image_size, channels=given.channels)
    out = given.out or default_path(f"{given.name}_100.png")
    shown = datasets.choose(len(dataset.images), 100, seed=0)  # a file may be sorted by class
    plotting.save_grid(dataset.images[shown].astype("float32") / 255, out)

    count, height, width, channels = dataset.images.shape
    kind = "" if channels == 1 else " in colour"
    print(f"{count:,} images of {height} x {width}{kind} from {dataset.source}")
    for label, class_name in enumerate(dataset.class_names):
        print(f"{label}  {class_name:12}{np.count_nonzero(dataset.labels == label):7,}")
    return out


def show_facades(given):
    """Draw the first facades, print sizes and classes. Returns the path of the picture."""
    dataset = facades.load_facades(given.data, given.layout_from, given.pairs)
    shown = dataset.first(given.count)
    out = given.out or default_path(f"facades_first_{len(shown.images)}.png")
    photos, label_maps = facades.centre_crops(facades.fit(shown, 256), 256)
    images = np.stack([facades.colours(label_maps, dataset.colours), photos], axis=1)
    images = images.reshape(-1, 256, 256, 3).astype("float32") / 255
    plotting.save_grid(images, out, columns=min(6, len(images)))

    heights, widths = zip(*(label_map.shape for label_map in dataset.label_maps), strict=True)
    sizes = f"{min(heights)} to {max(heights)} high and {min(widths)} to {max(widths)} wide"
    print(f"{len(dataset.images):,} facades, {sizes}, from {dataset.source}")
    n_classes = len(dataset.class_names)
    pixels = sum(np.bincount(one.ravel(), minlength=n_classes) for one in dataset.label_maps)
    for label, name in enumerate(dataset.class_names):
        print(f"{label:2}  {name:12}{pixels[label]:12,}{pixels[label] / pixels.sum():8.1%}")
    return out


def main(argv=None):
    parser = define_parser()
    given = parser.parse_args(argv)
    with arguments.problems_in_one_line(parser):
        if given.out:
            check_writable(given.out, PICTURES)
        print((show_facades if given.name == "facades" else show_images)(given))


if __name__ == "__main__":
    sys.exit(main())
