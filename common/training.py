"""A training run: its command line, its folder, its progress, stopping and going on.

A script's `main` reads

    with training.Run(parser, argv) as run:
        dataset = run.load(datasets.load_fashion_mnist)
        ...                                   # define the models
        run.begin(generator=g_model, discriminator=d_model, gan=gan_model)
        train(...)

and its `train` loops over `run.epochs(draw_samples)` and `run.steps(n)`, draws all random numbers
from `run.rng`, and hands the losses of each step to `run.log`.
"""

import csv
import hashlib
import io
import json
import platform
import shlex
import signal
import sys
import time
from importlib.metadata import version
from pathlib import Path

from common import UserError, checkpoints, plotting
from common.arguments import ArgumentParser
from common.backend import keras
from common.files import replacing, write_text

import numpy as np

# On --resume these may differ from the run's own arguments.
MAY_CHANGE = ("epochs", "data", "out", "resume", "overwrite")
RUN_FILES = ("run.json", "checkpoint.npz", "generator.keras", "losses.csv", "losses.png")


def argument_parser(name, description, epochs, batch_size, latent_dim):
    """The options that all training scripts share, with a script's own defaults."""
    parser = ArgumentParser(prog=f"{name}.py", description=description)
    parser.add_integer("--epochs", 1, 1_000_000, epochs, "passes over the images")
    parser.add_integer(
        "--batch-size", 2, 65_536, batch_size, "images in a batch, half real and half generated"
    )
    parser.add_integer("--latent-dim", 1, 10_000, latent_dim, "random numbers behind an image")
    parser.add_argument(
        "--data",
        default="auto",
        metavar="SOURCE",
        help="auto: Keras's cache or download, else the embedded sample; full; sample; "
        "or the path of an .npz file or a folder with IDX files (default: auto)",
    )
    parser.add_integer("--limit", 2, 1_000_000_000, None, "use the first N images only")
    parser.add_integer("--seed", 0, 2**32 - 1, 0, "same seed, same machine, same pictures")
    parser.add_argument(
        "--out",
        type=Path,
        default=Path("runs", name),
        metavar="DIR",
        help=f"the run folder (default: {Path('runs', name)})",
    )
    existing = parser.add_mutually_exclusive_group()
    existing.add_argument(
        "--resume", action="store_true", help="go on after the last finished epoch"
    )
    existing.add_argument(
        "--overwrite", action="store_true", help="delete the run in the folder and start afresh"
    )
    return parser


class Run:
    """One training run in one folder; a context manager that turns what went wrong into one line.

    Leaving the `with` block raises SystemExit: with status 2 after a `UserError`, 1 after a file
    could not be written, 130 after Ctrl-C. The first Ctrl-C waits for the end of the training step.

    Attributes:
        arguments: what the command line said; on --resume, what it said when the run began.
        rng: the numpy Generator of all random numbers of the training, seeded from --seed.
        sample_rng: another one, for the latents of the sample pictures.
    """

    def __init__(self, parser, argv=None):
        self.name = parser.prog.removesuffix(".py")
        self.arguments = parser.parse_args(argv)
        self.folder = self.arguments.out
        self._models = {}
        self._data = {}
        self._finished = 0  # epochs
        self._seconds = 0.0  # spent on them
        self._history = {}  # a list for each loss, a value for each epoch
        self._stop = False
        self._usual_handler = None
        self._epoch = 0  # the one that runs
        self._latest = {}  # the losses of the last step
        self._sums = {}  # the losses of the epoch so far
        try:
            if self.arguments.resume:
                self.arguments = self._arguments_of_the_run(parser, argv)
            _check(self.arguments)
            self._check_folder()
        except UserError as problem:
            parser.error(problem)
        keras.utils.set_random_seed(self.arguments.seed)
        self.rng = np.random.default_rng(self.arguments.seed)
        self.sample_rng = self.rng.spawn(1)[0]

    def load(self, loader):
        """Call a loader of `common.datasets` with --data, and keep the first --limit images."""
        dataset = loader(self.arguments.data)
        limit = self.arguments.limit
        dataset = dataset._replace(images=dataset.images[:limit], labels=dataset.labels[:limit])
        if len(dataset.images) < self.arguments.batch_size:
            raise UserError(
                f"{len(dataset.images)} images from {dataset.source} do not fill one batch of "
                f"{self.arguments.batch_size}: give a smaller --batch-size"
            )
        digest = hashlib.sha256(np.ascontiguousarray(dataset.images))
        digest.update(np.ascontiguousarray(dataset.labels))
        before = self._data.get("sha256")
        if before not in (None, digest.hexdigest()):
            raise UserError(
                f"the images from {dataset.source} are not those that the run in {self.folder} "
                f"began with ({self._data.get('images')} from {self._data.get('source')})"
            )
        self._data = {
            "source": dataset.source,
            "images": len(dataset.images),
            "sha256": digest.hexdigest(),
        }
        return dataset

    def begin(self, **models):
        """Take the models to be saved, one of them `generator`, and make the folder ready.

        On --resume, puts models, optimizers and random numbers where the last finished epoch
        left them.
        """
        self._models = models
        if self.arguments.resume:
            self._restore()
        elif self.arguments.overwrite:
            self._delete_run()
        (self.folder / "samples").mkdir(parents=True, exist_ok=True)
        self._write_record()
        print(
            f"{self.name}: {self._data['images']:,} images ({self._data['source']}), "
            f"batches of {self.arguments.batch_size}, into {self.folder}",
            flush=True,
        )
        if self._finished:
            print(f"Going on after {_epochs(self._finished)}.", flush=True)
        self._usual_handler = signal.signal(signal.SIGINT, self._on_interrupt)

    def epochs(self, draw_samples):
        """Yield the number of each epoch still to do, from 1, and save everything after it.

        `draw_samples(path)` writes the sample picture of an epoch.
        """
        for epoch in range(self._finished + 1, self.arguments.epochs + 1):
            self._epoch = epoch
            yield epoch
            self._save(draw_samples)
            if self._stop:
                raise KeyboardInterrupt
        print(
            f"Finished: {_epochs(self._finished)}. Sample it with: "
            f"python generate.py --model {self.folder / 'generator.keras'}",
            flush=True,
        )

    def steps(self, count):
        """Yield the number of each training step of an epoch, from 1, and show the progress."""
        self._sums = {}
        started = time.monotonic()
        bar = None
        if sys.stdout.isatty():
            print(f"Epoch {self._epoch}/{self.arguments.epochs}")
            bar = keras.utils.Progbar(count)
        for step in range(1, count + 1):
            yield step
            if bar:
                bar.update(step, list(self._latest.items()))
            if self._stop and step < count:
                raise KeyboardInterrupt
        for name, total in self._sums.items():
            self._history.setdefault(name, []).append(total / count)
        self._seconds += time.monotonic() - started
        if not bar:
            print(self._summary(), flush=True)

    def log(self, **losses):
        """Take the losses and accuracies of a step, plain numbers."""
        self._latest = losses
        for name, loss in losses.items():
            self._sums[name] = self._sums.get(name, 0.0) + loss

    def __enter__(self):
        return self

    def __exit__(self, kind, problem, _traceback):
        if self._usual_handler is not None:
            signal.signal(signal.SIGINT, self._usual_handler)
        if isinstance(problem, UserError):
            status, message = 2, f"error: {problem}"
        elif isinstance(problem, OSError):
            status, message = 1, f"error: cannot write {problem.filename}: {problem.strerror}"
        elif isinstance(problem, KeyboardInterrupt):
            status, message = 130, f"stopped; {self._how_to_go_on()}"
        else:
            return
        print(f"{self.name}.py: {message}", file=sys.stderr)
        raise SystemExit(status)

    def _arguments_of_the_run(self, parser, argv):
        """The arguments that the run in the folder began with, and what may differ from them."""
        path = self.folder / "run.json"
        try:
            record = json.loads(path.read_text(encoding="utf-8"))
            name, stored = record["script"], record["arguments"]
            self._data = record["data"]
            again = [f"--{key}={value}" for key, value in stored.items() if value is not None]
        except FileNotFoundError:
            raise UserError(f"{self.folder} holds no run to resume") from None
        except (OSError, ValueError, TypeError, LookupError, AttributeError) as problem:
            raise UserError(f"cannot read {path}: {problem}") from None
        if name != self.name:
            raise UserError(f"{self.folder} holds a run of {name}.py")
        began = vars(parser.parse_args(again))
        now = parser.parse_args(again + list(sys.argv[1:] if argv is None else argv))
        for key, value in vars(now).items():
            if value != began[key] and key not in MAY_CHANGE:
                raise UserError(
                    f"the run in {self.folder} has {_option(key)} {began[key]}, not {value}; "
                    f"on --resume only --epochs and --data may change"
                )
        return now

    def _check_folder(self):
        if self.folder.exists() and not self.folder.is_dir():
            raise UserError(f"--out {self.folder} is a file, not a folder")
        found = [name for name in RUN_FILES if (self.folder / name).exists()]
        if found and not (self.arguments.resume or self.arguments.overwrite):
            raise UserError(
                f"{self.folder} already holds a run: --resume goes on with it, --overwrite "
                "deletes it, and --out DIR takes another folder"
            )

    def _delete_run(self):
        """Delete the files that a run writes and nothing else that may be in the folder."""
        for name in RUN_FILES:
            (self.folder / name).unlink(missing_ok=True)
        for picture in (self.folder / "samples").glob("epoch_*.png"):
            picture.unlink()

    def _restore(self):
        path = self.folder / "checkpoint.npz"
        if not path.exists():  # stopped within the first epoch
            return
        facts = checkpoints.load(path, self._models)
        self._finished = facts["epoch"]
        self._seconds = facts["seconds"]
        self._history = facts["history"]
        self.rng.bit_generator.state = facts["rng"]

    def _save(self, draw_samples):
        """Save a finished epoch. The checkpoint comes last: --resume goes by it alone."""
        with replacing(self.folder / "samples" / f"epoch_{self._epoch:04d}.png") as beside:
            draw_samples(beside)
        with replacing(self.folder / "generator.keras") as beside:
            self._models["generator"].save(beside)
        self._write_losses()
        plotting.save_curves(self._history, self.folder / "losses.png")
        self._finished = self._epoch
        facts = {
            "epoch": self._finished,
            "seconds": self._seconds,
            "history": self._history,
            "rng": self.rng.bit_generator.state,
        }
        checkpoints.save(self.folder / "checkpoint.npz", self._models, facts)
        self._write_record()

    def _write_losses(self):
        table = io.StringIO()
        writer = csv.writer(table, lineterminator="\n")
        writer.writerow(["epoch", *self._history])
        for number, values in enumerate(zip(*self._history.values(), strict=True), start=1):
            writer.writerow([number, *(f"{value:.6f}" for value in values)])
        write_text(self.folder / "losses.csv", table.getvalue())

    def _write_record(self):
        arguments = {
            key.replace("_", "-"): value
            for key, value in vars(self.arguments).items()
            if key not in ("out", "resume", "overwrite")
        }
        record = {
            "script": self.name,
            "arguments": arguments,
            "data": self._data,
            "versions": {
                "python": platform.python_version(),
                "keras": keras.__version__,
                "tensorflow": version("tensorflow"),
                "numpy": np.__version__,
            },
            "epochs_finished": self._finished,
            "seconds": round(self._seconds, 1),
        }
        write_text(self.folder / "run.json", json.dumps(record, indent=2) + "\n")

    def _summary(self):
        losses = ", ".join(f"{name} {values[-1]:.3f}" for name, values in self._history.items())
        left = (self.arguments.epochs - self._epoch) * self._seconds / self._epoch
        return f"epoch {self._epoch}/{self.arguments.epochs}: {losses}; {_duration(left)} left"

    def _how_to_go_on(self):
        command = ["python", f"{self.name}.py", "--resume"]
        if self.folder != Path("runs", self.name):
            command += ["--out", str(self.folder)]
        return (
            f"{_epochs(self._finished)} saved in {self.folder}; go on with: {shlex.join(command)}"
        )

    def _on_interrupt(self, _signal, _frame):
        signal.signal(signal.SIGINT, signal.default_int_handler)
        self._stop = True
        print("\nStopping after this step; Ctrl-C once more stops at once.", file=sys.stderr)


def _check(arguments):
    """Raise UserError for numbers that do not go together."""
    if arguments.batch_size % 2:
        raise UserError(
            f"--batch-size {arguments.batch_size} is odd: half a batch is real, half generated"
        )
    if arguments.limit is not None and arguments.limit < arguments.batch_size:
        raise UserError(
            f"--limit {arguments.limit} is less than one batch of {arguments.batch_size}"
        )


def _option(key):
    return "--" + key.replace("_", "-")


def _epochs(count):
    return f"{count} epoch{'' if count == 1 else 's'}"


def _duration(seconds):
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"
