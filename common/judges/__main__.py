"""Train the judges that come with this code: networks that measure how good images are.

python -m common.judges clothes                  # 5 minutes on two cores
python -m common.judges digits --data sample     # 1 minute
python -m common.judges facades --data drawn     # 2 minutes
"""

import functools
import sys
from pathlib import Path

from common import UserError
from common.arguments import ArgumentParser, add_data_option, problems_in_one_line
from common.data import datasets, facades
from common.files import check_writable
from common.models import saved_models


def split(name, dataset):
    """What the judge of this name learns from, and what it is tested with."""
    if name == "facades":  # as in a training with seed 0
        return facades.split(dataset, 0)
    if name == "clothes" and (test := datasets.load_test_part(dataset)):
        return dataset, test
    return dataset.split()  # a fifth is held out, since GANs here train on all of MNIST


def test(judge, held_out):
    """How good a judge is: a dict of figures."""
    from common.judges import networks, scores

    if hasattr(held_out, "label_maps"):
        squares = facades.centre_crops(facades.fit(held_out, networks.SIZE), networks.SIZE)
        return scores.label_map_accuracy(judge, *squares)
    return {"accuracy": networks.accuracy(judge, held_out.images, held_out.labels)}


def main(argv=None):
    parser = ArgumentParser(prog="python -m common.judges", description=__doc__)
    commands = parser.add_subparsers(dest="name", required=True, metavar="NAME")
    for name, load in (
        ("clothes", datasets.load_fashion_mnist),
        ("digits", datasets.load_mnist),
        ("facades", facades.load_facades),
    ):
        command = commands.add_parser(name, help=f"train the judge of {name}")
        add_data_option(command, *[facades.SOURCES] * (name == "facades"))
        command.add_integer("--seed", 0, 2**32 - 1, 0, "of all random numbers in the training")
        command.add_path("--out", "FILE.keras", "(default: the file that evaluate.py reads)")
        command.set_defaults(load=load)
    arguments = parser.parse_args(argv)
    with problems_in_one_line(parser):
        out = arguments.out or Path(__file__).with_name(f"{arguments.name}.keras")
        check_writable(out, (".keras",))
        dataset = arguments.load(arguments.data)

        from common.judges import networks

        if arguments.out is None and out.exists() and networks.judge_path(dataset) != out:
            problem = "is a judge of other images, and would be replaced"
            raise UserError(f"{out} {problem}; give another file with --out")
        training, held_out = split(arguments.name, dataset)
        judge = networks.train(training, arguments.seed, functools.partial(print, flush=True))
        # What the judge has learnt from, so that `evaluate.py` can say whether it knows an image.
        about = networks.images_of(dataset) | {"split_sha256": dataset.sha256()}
        saved_models.save(judge, out, about)
        figures = [f"{name} {value:.4f}" for name, value in test(judge, held_out).items()]
        print(*figures, f"on {len(held_out.images):,} images not used in training")
        print(out)


if __name__ == "__main__":
    sys.exit(main())
