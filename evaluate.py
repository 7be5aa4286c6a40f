"""Say how good the images of a trained generator are.

    python evaluate.py --model cgan                  # 10,000 samples, less than a minute
    python evaluate.py --model cgan --cas            # some minutes more
    python evaluate.py --model gaugan
    python evaluate.py --model some/generator.keras --data my/images --json scores.json

A judge, a small network that has learnt from real images, looks at samples and at real images:

    label accuracy          share of the samples in which it finds the class that was asked for
    Fréchet distance        between the features that it sees in samples and in the training images
                            (Heusel et al. 2017). Real images that were not trained on have one,
                            too, and no generator can be expected to come below that. It is not the
                            FID of papers: that takes the features of Inception, a network for
                            photos in colour, which says little of grey images of 28 pixels.
    variety within a class  how far apart images are in these features; real ones have 1
    classification accuracy score (--cas)
                            share of real images classified correctly by a network that has
                            learnt from samples alone (Ravuri and Vinyals 2019)

For label maps it is a segmentation network, and the figures are pixel accuracy and mean IoU of
what it finds in samples, against the label maps (Park et al. 2019, section 4), and how much the
mean colour of a label map's samples varies with the latent. Every figure has its spread beside it,
the standard deviation over five fifths of the images, and the same of real images.

Also writes a picture of ten samples, each beside the training images nearest to it in pixels.
"""

import json
import sys

# TensorFlow takes seconds to import. What needs it is imported in the functions that use it, so
# that help and errors come at once.
from common.arguments import ArgumentParser, path_of, problems_in_one_line
from common.drawing import evaluation, generators, neighbours
from common.files import PICTURES, check_writable, default_path, write_text

import numpy as np

SHOWN = 10  # samples in the picture
WORDS = {
    "label_accuracy": "label accuracy",
    "class_share": "share of each class",
    "frechet_distance": "Fréchet distance",
    "variety": "variety within a class",
    "cas": "classification accuracy score",
    "pixel_accuracy": "pixel accuracy",
    "mean_iou": "mean IoU",
    "colour_variation": "variation of the mean colour",
}


def define_parser():
    """The command line of this script."""
    parser = ArgumentParser(prog="evaluate.py", description=__doc__)
    parser.add_argument(
        "--model",
        required=True,
        metavar="NAME|PATH",
        help="a script's name or its beginning, for the newest run in runs/ or else the generator "
        "in trained/; or a run folder or .keras file",
    )
    parser.add_integer(
        "--count", 100, 100_000, None, "samples (default: 10,000; 20 of each label map)"
    )
    parser.add_integer("--seed", 0, 2**32 - 1, 0, "another seed, other samples")
    parser.add_argument(
        "--data",
        metavar="SOURCE",
        help="the real images, as for the training (default: those that it was trained on)",
    )
    parser.add_argument(
        "--cas", action="store_true", help="also the classification accuracy score: takes minutes"
    )
    parser.add_argument(
        "--json", type=path_of, metavar="FILE.json", help="also write all figures to this file"
    )
    parser.add_argument(
        "--out", type=path_of, metavar="FILE.png", help="the picture (default: named in generated/)"
    )
    return parser


def table(found):
    """The lines that show the figures of an `Evaluation`."""
    yield f"{'':32}{f'{len(found.samples):,} samples':>18}{f'{found.n_real:,} real images':>22}"
    heading = ""
    for name, figure in found.of_samples.items():
        kind, _, class_name = name.partition("/")
        if class_name and kind != heading:
            yield WORDS[kind]
        heading = kind
        words = f"  {class_name}" if class_name else WORDS[kind]
        yield f"{words:32}{in_words(figure):>18}{in_words(found.of_real[name]):>22}"


def record(generator, found, arguments):
    """All figures as a dict for JSON. One that there is none of, such as NaN, is null."""

    def plain(figures):
        return {
            name: {
                part: None if np.isnan(number) else number
                for part, number in figure._asdict().items()
            }
            for name, figure in figures.items()
        }

    return {
        "model": generator.name,
        "path": str(generator.path),
        "seed": arguments.seed,
        "data": found.source,
        "samples": {"count": len(found.samples), "figures": plain(found.of_samples)},
        "real": {"count": found.n_real, "figures": plain(found.of_real)},
    }


def in_words(figure):
    """A figure and its spread, with as many digits as make sense."""
    value, spread = figure
    if np.isnan(value):
        return "-"
    digits = 3 if value < 10 else 1
    return f"{value:.{digits}f} ± {spread:.{digits}f}"


def main(argv=None):
    parser = define_parser()
    arguments = parser.parse_args(argv)
    with problems_in_one_line(parser):
        generator = generators.Generator(generators.find(arguments.model))
        out = arguments.out or default_path(f"{generator.name}_nearest_seed{arguments.seed}.png")
        check_writable(out, PICTURES)
        if arguments.json:
            check_writable(arguments.json, (".json",))
        if generator.label_kind == "label map":
            evaluate = evaluation.evaluate_label_maps
        else:
            evaluate = evaluation.evaluate_images
        found = evaluate(generator, arguments)
        print(f"{generator.name} from {generator.path}, seed {arguments.seed}")
        print(found.remark)
        for line in table(found):
            print(line)
        shown = (np.arange(SHOWN) + 0.5) * len(found.samples) / SHOWN
        neighbours.draw_nearest(found.samples[shown.astype(int)], found.training_images, out)
        print(out)
        if arguments.json:
            write_text(arguments.json, json.dumps(record(generator, found, arguments), indent=2))
            print(arguments.json)


if __name__ == "__main__":
    sys.exit(main())
