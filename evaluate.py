"""Measure how good the images of a trained generator are.

    python evaluate.py --model cgan                  # 10,000 samples, about a minute
    python evaluate.py --model cgan --cas            # a few minutes more
    python evaluate.py --model gaugan
    python evaluate.py --model some/generator.keras --data my/images --json scores.json

A judge is a classifier that was trained on real images. These figures are computed from its
outputs for samples (generated images), and again for real images:

    label accuracy          share of the samples in which the judge finds the class asked for
    Fréchet distance        distance between the features of the samples and of the training images
                            (Heusel et al. 2017); smaller is better. Real images that were not used
                            in training have a distance, too, and no generator can be expected to
                            come below it. It is not the FID of papers, which uses the features of
                            Inception. That network is for photos in colour, and says little about
                            grey images of 28 x 28 pixels.
    share of each class     in the place of the label accuracy, if the generator has no classes: the
                            share of the samples in which the judge finds each class
    variety within a class  how far apart the features of images of a class are, divided by the
                            same for real images; 1 is as varied as these
    classification accuracy score (--cas)
                            share of real images that are classified correctly by a network trained
                            on samples alone (Ravuri and Vinyals 2019)

If the generator takes label maps, the judge is a segmentation network. Pixel accuracy and mean IoU
compare the classes that the judge finds in a sample with the label map (Park et al. 2019, section
4). A third figure is how much the mean colour of the samples varies with the latent. After each
figure comes its spread: its standard deviation over five disjoint fifths of the images.

The script also saves a picture of ten samples, each beside the training images nearest to it.
"""

import json
import sys

# Importing TensorFlow takes seconds. Modules that need it are imported inside functions, so that
# --help and error messages come at once.
from common.arguments import ArgumentParser, add_generator_options, problems_in_one_line
from common.files import PICTURES, check_writable, default_path, write_text
from common.models.generators import Generator
from common.sampling import evaluation, finding

import numpy as np

N_SHOWN = 10  # samples in the picture
FIGURE_NAMES = {
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
    add_generator_options(parser)
    parser.add_integer(
        "--count", 100, 100_000, None, "samples (default: 10,000, or 20 of each label map)"
    )
    parser.add_argument(
        "--data",
        metavar="SOURCE",
        help="source of the real images (default: those used in training)",
    )
    parser.add_switch("--cas", "also the classification accuracy score, which takes minutes")
    parser.add_path("--json", "FILE.json", "also write all figures to this file")
    parser.add_path("--out", "FILE.png", "the picture (default: a file in generated/)")
    return parser


def table(found):
    """Yield the lines of a table of the figures in an `Evaluation`."""
    n_real = len(found.real.held_out.images)
    yield f"{'':32}{f'{len(found.samples):,} samples':>18}{f'{n_real:,} real images':>22}"
    heading = ""
    for name, figure in found.of_samples.items():
        kind, _, class_name = name.partition("/")
        if class_name and kind != heading:
            yield FIGURE_NAMES[kind]
        heading = kind
        words = f"  {class_name}" if class_name else FIGURE_NAMES[kind]
        yield f"{words:32}{formatted(figure):>18}{formatted(found.of_real[name]):>22}"


def record(generator, found, arguments):
    """All figures as a dict for JSON, in which NaN becomes null."""

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
        "data": found.real.training.source,
        "samples": {"count": len(found.samples), "figures": plain(found.of_samples)},
        "real": {"count": len(found.real.held_out.images), "figures": plain(found.of_real)},
    }


def formatted(figure):
    """A figure and its spread as text, with one or three decimal places."""
    value, spread = figure
    if np.isnan(value):
        return "-"
    digits = 3 if value < 10 else 1
    if np.isnan(spread):  # the class is in fewer than two of the five parts
        return f"{value:.{digits}f}"
    return f"{value:.{digits}f} ± {spread:.{digits}f}"


def main(argv=None):
    parser = define_parser()
    arguments = parser.parse_args(argv)
    with problems_in_one_line(parser):
        generator = Generator(finding.find(arguments.model))
        name = finding.name_for_files(generator)
        out = arguments.out or default_path(f"{name}_nearest_seed{arguments.seed}.png")
        check_writable(out, PICTURES)
        if arguments.json:
            check_writable(arguments.json, (".json",))
        found = evaluation.evaluate(generator, arguments)
        shown = (np.arange(N_SHOWN) + 0.5) * len(found.samples) / N_SHOWN
        evaluation.draw_nearest(found.samples[shown.astype(int)], found.training_images, out)
        if arguments.json:
            write_text(arguments.json, json.dumps(record(generator, found, arguments), indent=2))
        # All is written before anything is printed, which may fail where standard output is closed.
        print(f"{generator.name} from {generator.path}, seed {arguments.seed}")
        print(found.remark)
        for line in table(found):
            print(line)
        print(out, *filter(None, [arguments.json]), sep="\n", flush=True)


if __name__ == "__main__":
    sys.exit(main())
