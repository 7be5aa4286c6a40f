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
    for name, load, train, text, sources in (
        ("clothes", load_clothes, train_classifier, "tells the classes of Fashion-MNIST apart", ()),
        ("digits", load_digits, train_classifier, "tells the digits of MNIST apart", ()),
        (
            "facades",
            load_facades,
            train_segmenter,
            "finds the classes in photos of facades",
            (facades.SOURCES,),
        ),
    ):
        command = commands.add_parser(name, help=text, description=text)
        add_data_option(command, *sources)
        command.add_integer("--seed", 0, 2**32 - 1, 0, "seed of all random numbers in the training")
        command.add_path(
            "--out", "FILE.keras", "the file to write (default: the file that evaluate.py reads)"
        )
        command.set_defaults(load=load, train=train)
    return parser


def load_clothes(source):
    """The training part and the test part. If there is no test part, a fifth is held out."""
    training = datasets.load_fashion_mnist(source)
    test = datasets.load_test_part(training)
    return (training, test) if test else training.split()


def load_digits(source):
    """Four fifths, and the rest to test with, since GANs here train on all of MNIST."""
    return datasets.load_mnist(source).split()


def load_facades(source):
    """The facades that GauGAN is trained on, and the validation facades."""
    return facades.split(facades.load_facades(source), 0)


def description(dataset):
    """What is saved with a judge that was trained on a data set: the images that it is for."""
    if hasattr(dataset, "label_maps"):
        return {"class_names": list(dataset.class_names), "facades": dataset.source}
    shape = list(dataset.images.shape[1:])
    return {"class_names": list(dataset.class_names), "image_shape": shape}


def train_classifier(training, held_out, seed):
    """Train a classifier. Returns it and a sentence on its accuracy."""
    from common.judges import classifier

    model = classifier.train(
        training.images, training.labels, len(training.class_names), seed, report=report
    )
    accuracy = classifier.Judge(model).accuracy(held_out.images, held_out.labels)
    return model, f"accuracy {accuracy:.4f} on {len(held_out.images):,} images not used in training"


def train_segmenter(training, validation, seed):
    """Train a segmentation network. Returns it and a sentence on how good it is."""
    from common.judges import metrics, segmenter

    n_classes = len(training.class_names)
    training, validation = (facades.fit(part, segmenter.SIZE) for part in (training, validation))
    model = segmenter.train(training, n_classes, seed, report=report)
    photos, label_maps = facades.centre_crops(validation, segmenter.SIZE)
    counts = metrics.confusion(segmenter.Judge(model).segment(photos), label_maps, n_classes)
    accuracy, iou = metrics.pixel_accuracy(counts), metrics.mean_iou(counts)
    return model, (
        f"pixel accuracy {accuracy:.4f}, mean IoU {iou:.4f} on {len(photos):,} photos "
        "not used in training"
    )


def check_replaced(path, about):
    """Raise UserError if the judge in a file is for other images than those of `about`."""
    if path.exists() and saved_models.read(path)[1] != about:
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
        training, held_out = arguments.load(arguments.data)
        about = description(training)
        if arguments.out is None:
            check_replaced(out, about)
        model, sentence = arguments.train(training, held_out, arguments.seed)
        saved_models.save(model, out, about)
        print(sentence)
        print(out)


if __name__ == "__main__":
    sys.exit(main())
