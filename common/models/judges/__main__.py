"""Train the judges that come with this code: networks that measure how good images are.

python -m common.models.judges clothes                  # 5 minutes on two cores
python -m common.models.judges digits --data sample     # 1 minute
python -m common.models.judges facades --data drawn     # 2 minutes
"""

import sys
from pathlib import Path

from common import UserError
from common.arguments import ArgumentParser, add_data_option, problems_in_one_line
from common.data import datasets, facades
from common.data.reading import listed
from common.files import check_writable
from common.models import saved_models


def define_parser():
    """The command line: the name of a judge, and the options of that judge."""
    parser = ArgumentParser(prog="python -m common.models.judges", description=__doc__)
    commands = parser.add_subparsers(dest="name", required=True, metavar="NAME")
    for name, train, text, sources in (
        ("clothes", train_clothes, "tells the classes of Fashion-MNIST apart", ()),
        ("digits", train_digits, "tells the digits of MNIST apart", ()),
        ("facades", train_facades, "finds the classes in photos of facades", (facades.SOURCES,)),
    ):
        command = commands.add_parser(name, help=text, description=text)
        add_data_option(command, *sources)
        command.add_integer("--seed", 0, 2**32 - 1, 0, "seed of all random numbers in the training")
        command.add_path(
            "--out", "FILE.keras", "the file to write (default: the file that evaluate.py reads)"
        )
        command.set_defaults(train=train)
    return parser


def train_clothes(source, seed, any_classes):
    """Train on the training part and test on the test part. If there is none, hold out a fifth."""
    training = datasets.load_fashion_mnist(source)
    test = datasets.load_test_part(training)
    parts = (training, test) if test else training.split()
    return train_classifier(*parts, seed, None if any_classes else datasets.CLOTHES)


def train_digits(source, seed, any_classes):
    """Train on four fifths and test on the rest, since GANs here train on all of MNIST."""
    parts = datasets.load_mnist(source).split()
    return train_classifier(*parts, seed, None if any_classes else datasets.DIGITS)


def train_classifier(training, held_out, seed, expected_classes):
    """Train a classifier. Returns it, a dict to save with it, and a sentence on its accuracy."""
    if expected_classes not in (None, training.class_names):
        raise UserError(
            f"{training.source} has the classes {listed(training.class_names)}: a judge of these "
            "would replace the one that comes with this code; give another file with --out"
        )

    from common.models.judges import classifier

    model = classifier.train(
        training.images, training.labels, len(training.class_names), seed, report=report
    )
    accuracy = classifier.Judge(model).accuracy(held_out.images, held_out.labels)
    sentence = f"accuracy {accuracy:.4f} on {len(held_out.images):,} images not used in training"
    shape = training.images.shape[1:]
    return model, {"class_names": training.class_names, "image_shape": shape}, sentence


def train_facades(source, seed, _any_classes):
    """Train on the facades that GauGAN is trained on, and test on the validation facades."""
    from common.models.judges import metrics, segmenter

    dataset = facades.load_facades(source)
    training, validation = (facades.fit(part, segmenter.SIZE) for part in facades.split(dataset, 0))
    model = segmenter.train(training, len(facades.CLASS_NAMES), seed, report=report)
    photos, layouts = facades.centre_crops(validation, segmenter.SIZE)
    found = segmenter.Judge(model).segment(photos)
    counts = metrics.confusion(found, layouts, len(facades.CLASS_NAMES))
    accuracy, iou = metrics.pixel_accuracy(counts), metrics.mean_iou(counts)
    sentence = (
        f"pixel accuracy {accuracy:.4f}, mean IoU {iou:.4f} on {len(photos):,} photos "
        "not used in training"
    )
    return model, {"class_names": facades.CLASS_NAMES, "facades": dataset.source}, sentence


def report(line):
    """Print the progress of the training at once, even into a file."""
    print(line, flush=True)


def main(argv=None):
    parser = define_parser()
    arguments = parser.parse_args(argv)
    with problems_in_one_line(parser):
        out = arguments.out or Path(__file__).with_name(f"{arguments.name}.keras")
        check_writable(out, (".keras",))
        model, about, sentence = arguments.train(
            arguments.data, arguments.seed, any_classes=arguments.out is not None
        )
        saved_models.save(model, out, about)
        print(sentence)
        print(out)


if __name__ == "__main__":
    sys.exit(main())
