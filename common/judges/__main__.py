"""Train the judges that come with this code: networks that measure how good images are.

python -m common.judges clothes                  # 5 minutes on two cores
python -m common.judges digits --data sample     # 1 minute
python -m common.judges facades --data drawn     # 2 minutes
"""

import sys
from pathlib import Path

from common import UserError
from common.arguments import ArgumentParser, add_data_option, problems_in_one_line
from common.data import datasets, facades
from common.files import check_writable
from common.models import saved_models


def define_parser():
    """The command line: the name of a judge, and the options of that judge."""
    parser = ArgumentParser(prog="python -m common.judges", description=__doc__)
    commands = parser.add_subparsers(dest="name", required=True, metavar="NAME")
    for name, load, text, sources in (
        ("clothes", datasets.load_fashion_mnist, "tells the classes of Fashion-MNIST apart", ()),
        ("digits", datasets.load_mnist, "tells the digits of MNIST apart", ()),
        ("facades", facades.load_facades, "finds the classes in photos", (facades.SOURCES,)),
    ):
        command = commands.add_parser(name, help=text, description=text)
        add_data_option(command, *sources)
        command.add_integer("--seed", 0, 2**32 - 1, 0, "seed of all random numbers in the training")
        command.add_path(
            "--out", "FILE.keras", "the file to write (default: the file that evaluate.py reads)"
        )
        command.set_defaults(load=load)
    return parser


def split(name, dataset):
    """What the judge of this name learns from, and what it is tested with."""
    if name == "facades":  # as in a training with seed 0
        return facades.split(dataset, 0)
    if name == "clothes" and (test := datasets.load_test_part(dataset)):
        return dataset, test
    return dataset.split()  # a fifth is held out, since GANs here train on all of MNIST


def train(training, held_out, seed):
    """Train a judge. Returns it and a sentence on how good it is."""
    from common.judges import networks, scores

    n_classes, tested = len(training.class_names), f"{len(held_out.images):,}"
    if hasattr(training, "label_maps"):
        training, held_out = (facades.fit(part, networks.SIZE) for part in (training, held_out))
        judge = networks.train_segmenter(training, n_classes, seed, report=report)
        figures = scores.label_map_accuracy(judge, *facades.centre_crops(held_out, networks.SIZE))
        accuracy = "pixel accuracy {pixel_accuracy:.4f}, mean IoU {mean_iou:.4f}".format(**figures)
        return judge, f"{accuracy} on {tested} photos not used in training"
    images, labels = training.images, training.labels
    judge = networks.train_classifier(images, labels, n_classes, seed, report=report)
    accuracy = networks.accuracy(judge, held_out.images, held_out.labels)
    return judge, f"accuracy {accuracy:.4f} on {tested} images not used in training"


def check_replaced(path, images):
    """Raise UserError if the judge in a file is for other images than these."""
    if path.exists() and not saved_models.read(path)[1].items() >= images.items():
        raise UserError(
            f"{path} is a judge of other images, and would be replaced; give another file with "
            "--out"
        )


def report(line):
    """Print the progress of the training at once, even into a file."""
    print(line, flush=True)


def main(argv=None):
    parser = define_parser()
    arguments = parser.parse_args(argv)
    with problems_in_one_line(parser):
        out = arguments.out or Path(__file__).with_name(f"{arguments.name}.keras")
        check_writable(out, (".keras",))
        dataset = arguments.load(arguments.data)

        from common.judges import networks

        images = networks.images_of(dataset)
        if arguments.out is None:
            check_replaced(out, images)
        judge, sentence = train(*split(arguments.name, dataset), arguments.seed)
        # What the judge has learnt from, so that `evaluate.py` can say whether it knows an image.
        saved_models.save(judge, out, images | {"split_sha256": dataset.sha256()})
        print(sentence)
        print(out)


if __name__ == "__main__":
    sys.exit(main())
