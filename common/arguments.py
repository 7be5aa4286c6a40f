"""Command-line options of the scripts: numbers are checked against bounds, errors are one line."""

import argparse
import contextlib
import os
import shlex
import subprocess
import sys
from pathlib import Path

from common import UserError
from common.notebooks import CellStopped, in_notebook


class ArgumentParser(argparse.ArgumentParser):
    """An `argparse.ArgumentParser` that reports an error in one line, with exit status 2."""

    own_images = False  # whether there are --image-size and --channels, for a loader of images

    def __init__(self, **options):
        super().__init__(
            formatter_class=argparse.RawDescriptionHelpFormatter, allow_abbrev=False, **options
        )

    def parse_args(self, args=None, namespace=None):
        """Parse as argparse does. Afterwards, characters that the console lacks are escaped."""
        for stream in (sys.stdout, sys.stderr):
            # The stream may be None, closed, or an object of another type.
            with contextlib.suppress(AttributeError, ValueError):
                stream.reconfigure(errors="backslashreplace")
        return super().parse_args(args, namespace)

    def exit(self, status=0, message=None):
        """End the program, with a message on stderr; in a notebook, only the cell."""
        if status and in_notebook():
            raise CellStopped(message.strip())
        super().exit(status, message)

    def error(self, message):
        self.exit(2, f"{self.prog}: error: {' '.join(str(message).split())}\n")

    def add_integer(self, name, low, high, default, help):
        """Add an option that takes a whole number from `low` to `high`."""
        self._add(name, default, help, type=bounded(int, low, high), metavar="N")

    def add_number(self, name, low, high, default, help):
        """Add an option that takes any number from `low` to `high`."""
        self._add(name, default, help, type=bounded(float, low, high), metavar="X")

    def add_choice(self, name, numbers, default, help):
        """Add an option that takes one of a few whole numbers."""
        self._add(name, default, help, type=int, choices=numbers)

    def add_path(self, name, metavar, help, default=None):
        """Add an option that takes a path, in which `~` is the home folder."""
        self._add(name, default, help, type=path_of, metavar=metavar)

    def add_switch(self, name, help):
        """Add an option without a value: True if it is given."""
        self.add_argument(name, action="store_true", help=help)

    def _add(self, name, default, help, **options):
        help += "" if default is None else f" (default: {default})"
        self.add_argument(name, default=default, help=help, **options)


@contextlib.contextmanager
def problems_in_one_line(parser):
    """End the program if the block raises UserError, MemoryError or OSError, or after Ctrl-C.

    The exit status is 2, with the error in one line on stderr, or 130 after Ctrl-C.
    """
    try:
        yield
    except (UserError, MemoryError, OSError) as problem:
        parser.error(error_text(problem))
    except KeyboardInterrupt:
        raise SystemExit(130) from None


def error_text(problem):
    """The message of an exception, on one line; of an OSError, the file and the reason."""
    if isinstance(problem, OSError) and problem.strerror:
        return f"{problem.filename or 'standard output'}: {problem.strerror}"
    text = " ".join(str(problem).split()) or type(problem).__name__
    return f"not enough memory: {text}" if isinstance(problem, MemoryError) else text


def path_of(text):
    """A `type` for argparse: a path. Expands `~`, which the shell does not do in `--out=~/x`."""
    try:
        return Path(text).expanduser()
    except RuntimeError as problem:
        raise argparse.ArgumentTypeError(f"{text}: {problem}") from None


def bounded(kind, low, high, name=None):
    """A `type` for argparse: numbers from `low` to `high`; `kind` is int or float."""
    name = name or ("whole number" if kind is int else "number")

    def parse(text):
        try:
            number = kind(text)
        except ValueError:
            raise argparse.ArgumentTypeError(f"{text!r} is not a {name}") from None
        if not low <= number <= high:  # also true for NaN
            raise argparse.ArgumentTypeError(f"{text} is not between {low} and {high}")
        return number

    return parse


def number_of_gpus(text):
    """A `type` for argparse: a whole number from 1, or "all"."""
    return text if text == "all" else bounded(int, 1, 1024, "whole number or all")(text)


DATASETS = (
    "auto: the full set from Keras's cache or a download, else the embedded sample; full: the full "
    "set or an error; sample: never a download; or a path: a folder with a folder of images for "
    "each class, or .npz, IDX or CSV files (default: auto)"
)


def add_data_option(parser, sources=DATASETS):
    """Add --data. `sources` is its help text, which lists the sources that the loader accepts."""
    parser.add_argument("--data", default="auto", metavar="SOURCE", help=sources)


def add_image_options(parser):
    """Add --image-size and --channels, which apply to images that the user brings."""
    parser.add_integer(
        "--image-size", 16, 128, None, "scale own images to N x N (default: folders 28 or 32)"
    )
    parser.add_choice("--channels", (1, 3), None, "read own images in grey (1) or in colour (3)")


def add_label_map_option(parser):
    """Add --layout-from, for label maps that contain numbers of classes."""
    help = "the number of the first class in label maps of your own (default: detected)"
    parser.add_choice("--layout-from", (0, 1), None, help)


def add_pairs_option(parser):
    """Add --pairs, for pictures that hold a photo and its label map side by side."""
    help = "each picture is a photo beside its label map, which is this half of it (default: found)"
    parser.add_argument("--pairs", choices=("left", "right"), help=help)


def add_generator_options(parser):
    """Add --model and --seed, for a script that samples a trained generator."""
    help = "a script's name or the part of it before an underscore, such as cgan, for the newest "
    help += "run in runs/ or else the generator in trained/; or a run folder or .keras file"
    parser.add_argument("--model", required=True, metavar="NAME|PATH", help=help)
    parser.add_switch("--best", "the best generator of that run, where its quality was measured")
    parser.add_integer("--seed", 0, 2**32 - 1, 0, "of the random latents")


def training_parser(
    script, description, epochs, batch_size, latent_dim, own_images=True, sources=DATASETS
):
    """A parser with the options that all training scripts share, and the defaults of one script.

    `script` is its `__file__`: a run is named after it, so a copy of a script has a name and a run
    folder of its own. `description` is its docstring, and `sources` the help text of --data. With
    `own_images` there are --image-size and --channels, which `Run.load` gives to a loader.
    """
    parser = ArgumentParser(prog=_as_typed(script), description=description)
    parser.name, parser.own_images = Path(script).stem, own_images
    million, largest_seed = 1_000_000, 2**32 - 1
    parser.add_integer("--epochs", 1, million, epochs, "each has a step for every full batch")
    parser.add_integer("--batch-size", 2, 65_536, batch_size, "images in a batch; half are real")
    parser.add_integer("--latent-dim", 1, 10_000, latent_dim, "random numbers behind an image")
    add_data_option(parser, sources)
    parser.add_integer("--limit", 2, 10**9, None, "use N of the images, chosen by the seed")
    parser.add_integer("--seed", 0, largest_seed, 0, "same seed, same machine, same pictures")
    parser.add_switch("--deterministic", "the same pictures on a GPU as well, at the cost of speed")
    parser.add_switch(
        "--mixed-precision", "compute in 16 bits where that is safe: faster on new GPUs"
    )
    parser.add_switch("--jit", "compile the training steps with XLA: mostly faster on a GPU")
    parser.add_switch("--plain", "leave models and optimizers as Keras makes them: slower")
    help = "share out each batch among so many GPUs of this machine (default: one device)"
    parser.add_argument("--gpus", type=number_of_gpus, metavar="N|all", help=help)
    help = "of the moving average of the generator's weights, which is sampled and saved; 0: none"
    parser.add_number("--average-decay", 0, 0.999999, 0.999, help)
    help = "epochs from one measurement of quality to the next; 0: never (default: now and then)"
    parser.add_integer("--evaluate-every", 0, million, None, help)
    help = "keep the generator of every Nth epoch in the folder kept"
    parser.add_integer("--keep-every", 1, million, None, help)
    help = "minutes between saves in an epoch; 0: after every step"
    parser.add_number("--checkpoint-minutes", 0, 1e6, 10, help)
    parser.add_path("--out", "DIR", "the run folder", default=Path("runs", parser.name))
    parser.add_switch("--resume", "continue the run in the folder from its last save")
    parser.add_switch("--overwrite", "delete the run in the folder and start a new one")
    if own_images:
        add_image_options(parser)
    return parser


def _as_typed(script):
    """The path of a script from the current folder, for commands to copy; else its name."""
    with contextlib.suppress(OSError, ValueError):
        return str(Path(script).resolve().relative_to(Path.cwd()))
    return f"{Path(script).stem}.py"


def command_line(*words):
    """The command that runs a script, to copy into a terminal: quoted as this system needs it."""
    words = ["python", *words]
    return subprocess.list2cmdline(words) if os.name == "nt" else shlex.join(words)


def image_options(arguments):
    """What a loader of images takes besides --data: a dict."""
    names = ("image_size", "channels", "limit", "seed")
    return {name: getattr(arguments, name) for name in names} | {"n_batch": arguments.batch_size}


def check_training(arguments):
    """Raise UserError for options that contradict each other."""
    if arguments.resume and arguments.overwrite:
        raise UserError("--overwrite is not allowed with --resume: one goes on with the old run")
    if arguments.jit and arguments.deterministic:
        raise UserError("with XLA nothing is deterministic: leave out --jit or --deterministic")
    if arguments.plain and (arguments.gpus or arguments.jit):
        raise UserError("--plain trains on one device, as Keras has it: leave out --gpus and --jit")
    n_batch, limit = arguments.batch_size, arguments.limit
    if n_batch % 2:
        half = "half of a batch is real and half is generated"
        raise UserError(f"--batch-size {n_batch} is odd: give an even number, since {half}")
    if limit is not None and limit < n_batch:
        hint = "give a smaller --batch-size as well"
        raise UserError(f"--limit {limit} is less than one batch of {n_batch}: {hint}")
