"""Command lines: numbers have bounds, and an error is one line."""

import argparse
import contextlib
import sys
from pathlib import Path

from common import UserError


class ArgumentParser(argparse.ArgumentParser):
    """An `argparse.ArgumentParser` that reports an error in one line, with exit status 2."""

    def __init__(self, **options):
        super().__init__(
            formatter_class=argparse.RawDescriptionHelpFormatter, allow_abbrev=False, **options
        )

    def parse_args(self, args=None, namespace=None):
        """As argparse's. From then on, a character that a console cannot print is escaped."""
        for stream in (sys.stdout, sys.stderr):
            with contextlib.suppress(AttributeError, ValueError):  # there is none, or it is another
                stream.reconfigure(errors="backslashreplace")
        return super().parse_args(args, namespace)

    def error(self, message):
        self.exit(2, f"{self.prog}: error: {' '.join(str(message).split())}\n")

    def add_integer(self, name, low, high, default, help):
        """Add an option that takes a whole number from `low` to `high`."""
        if default is not None:
            help = f"{help} (default: {default})"
        self.add_argument(
            name,
            type=bounded(int, "whole number", low, high),
            default=default,
            metavar="N",
            help=help,
        )

    def add_choice(self, name, numbers, default, help):
        """Add an option that takes one of a few whole numbers."""
        self.add_argument(
            name,
            type=int,
            choices=numbers,
            default=default,
            help=f"{help} (default: {default})",
        )

    def add_number(self, name, low, high, default, help):
        """Add an option that takes any number from `low` to `high`."""
        if default is not None:
            help = f"{help} (default: {default:g})"
        self.add_argument(
            name,
            type=bounded(float, "number", low, high),
            default=default,
            metavar="X",
            help=help,
        )


@contextlib.contextmanager
def problems_in_one_line(parser):
    """Leave the program where the block cannot go on: status 2 with the reason, 130 for Ctrl-C."""
    try:
        yield
    except UserError as problem:
        parser.error(problem)
    except MemoryError as problem:
        parser.error(f"not enough memory: {problem}")
    except OSError as problem:
        parser.error(f"{problem.filename or 'standard output'}: {problem.strerror}")
    except KeyboardInterrupt:
        raise SystemExit(130) from None


def path_of(text):
    """A type for argparse: a path, `~` being the home folder wherever the shell has left it."""
    return Path(text).expanduser()


def bounded(kind, kind_name, low, high):
    """A type for argparse: a number of a kind, int or float, from `low` to `high`."""

    def parse(text):
        try:
            number = kind(text)
        except ValueError:
            raise argparse.ArgumentTypeError(f"{text!r} is not a {kind_name}") from None
        if not low <= number <= high:  # nor is NaN
            raise argparse.ArgumentTypeError(f"{text} is not between {low} and {high}")
        return number

    return parse


DATASETS = (
    "auto: Keras's cache or download, else the embedded sample; full; sample; "
    "or a path: a folder with a folder of images for each class, or .npz, IDX or CSV files "
    "(default: auto)"
)


def add_data_option(parser, sources=DATASETS):
    """Add --data, a source of `common.datasets` or what else `sources` describes."""
    parser.add_argument("--data", default="auto", metavar="SOURCE", help=sources)


def add_image_options(parser):
    """Add the options for images of one's own."""
    parser.add_integer(
        "--image-size", 16, 128, None, "scale own images to N x N pixels (28 if grey, else 32)"
    )
    parser.add_argument(
        "--channels",
        type=int,
        choices=(1, 3),
        help="own images in grey or in colour (default: grey if all of them are)",
    )


def add_label_map_option(parser):
    """Add --layout-from, for label maps whose classes are numbers."""
    parser.add_argument(
        "--layout-from",
        type=int,
        choices=(0, 1),
        help="the number of the first class in own label maps (default: what their numbers or "
        "colours say)",
    )


def add_picture_option(parser, default):
    """Add --out, the picture to write, for a module that is run by itself."""
    parser.add_argument(
        "--out",
        type=path_of,
        metavar="FILE.png",
        help=f"the picture (default: {default} in generated/)",
    )


def training_parser(name, description, epochs, batch_size, latent_dim, sources=DATASETS):
    """The options that all training scripts share, with a script's own defaults."""
    parser = ArgumentParser(prog=f"{name}.py", description=description)
    parser.add_integer("--epochs", 1, 1_000_000, epochs, "each has a step for every full batch")
    parser.add_integer(
        "--batch-size", 2, 65_536, batch_size, "images in a batch, half real and half generated"
    )
    parser.add_integer("--latent-dim", 1, 10_000, latent_dim, "random numbers behind an image")
    add_data_option(parser, sources)
    parser.add_integer("--limit", 2, 1_000_000_000, None, "use N of the images, chosen by the seed")
    parser.add_integer("--seed", 0, 2**32 - 1, 0, "same seed, same machine, same pictures")
    parser.add_argument(
        "--deterministic",
        action="store_true",
        help="same pictures on a GPU as well, where that costs speed; a CPU needs no telling",
    )
    parser.add_argument(
        "--mixed-precision",
        action="store_true",
        help="compute in 16 bits where that is safe: for GPUs with tensor cores, and CPUs with "
        "AVX512_BF16 or AMX; slow on others",
    )
    parser.add_argument(
        "--jit",
        action="store_true",
        help="compile the training steps with XLA: a slow first step, then mostly faster on a GPU",
    )
    parser.add_number(
        "--average-decay",
        0,
        0.999999,
        0.999,
        "of the moving average of the generator's weights, which is what is sampled and saved; "
        "0 for the weights as they are",
    )
    parser.add_integer(
        "--evaluate-every",
        0,
        1_000_000,
        None,
        "epochs from one judgement of the averaged generator's images to the next; 0 for none "
        "(default: as often as costs less than 3 %% of the training, if a judge for such images "
        "comes with this code)",
    )
    parser.add_number(
        "--checkpoint-minutes", 0, 1e6, 10, "save inside an epoch, too; 0 for after every step"
    )
    parser.add_argument(
        "--out",
        type=path_of,
        default=Path("runs", name),
        metavar="DIR",
        help=f"the run folder (default: {Path('runs', name)})",
    )
    existing = parser.add_mutually_exclusive_group()
    existing.add_argument(
        "--resume", action="store_true", help="go on where the run in the folder was saved"
    )
    existing.add_argument(
        "--overwrite", action="store_true", help="delete the run in the folder and start afresh"
    )
    return parser


def check_training(arguments):
    """Raise UserError for options that do not go together."""
    if arguments.jit and arguments.deterministic:
        raise UserError("Keras compiles nothing with --deterministic: leave out that or --jit")
    if arguments.batch_size % 2:
        raise UserError(
            f"--batch-size {arguments.batch_size} is odd: half a batch is real, half generated"
        )
    if arguments.limit is not None and arguments.limit < arguments.batch_size:
        raise UserError(
            f"--limit {arguments.limit} is less than one batch of {arguments.batch_size}"
        )
