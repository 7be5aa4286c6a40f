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

import hashlib
import shlex
import shutil
import signal
import sys
import time
from pathlib import Path

from common import UserError, checkpoints, plotting, run_folder
from common.arguments import check_training
from common.backend import keras
from common.files import replacing

import numpy as np

# On --resume these may differ from the run's own arguments.
MAY_CHANGE = ("epochs", "data", "out", "resume", "overwrite")


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
        self._parser = parser
        self.name = parser.prog.removesuffix(".py")
        self.arguments = parser.parse_args(argv)
        self.folder = self.arguments.out
        self._models = {}
        self._data = {}  # what run.json says of it
        self._finished = 0  # epochs
        self._seconds = 0.0  # spent on them
        self._history = {}  # a list for each loss, with a mean for each epoch
        self._epoch = 0  # the one that runs
        self._sums = {}  # the losses of its steps so far
        self._stop = False  # after Ctrl-C
        self._usual_handler = None
        try:
            if self.arguments.resume:
                self.arguments = self._arguments_of_the_run(argv)
            check_training(self.arguments)
            run_folder.check(self.folder, self.arguments.resume or self.arguments.overwrite)
        except UserError as problem:
            parser.error(problem)
        except OSError as problem:
            parser.error(f"{problem.filename}: {problem.strerror}")
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
            run_folder.delete_run(self.folder)
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
        if self._finished >= self.arguments.epochs:
            print("There is nothing left to do; --resume --epochs N goes on to epoch N.")
        for epoch in range(self._finished + 1, self.arguments.epochs + 1):
            self._epoch = epoch
            started = time.monotonic()
            yield epoch
            self._seconds += time.monotonic() - started
            self._save(draw_samples)
            if not sys.stdout.isatty():
                print(f"{self._summary()}; {self._time_left()} left", flush=True)
            if self._stop and epoch < self.arguments.epochs:
                raise KeyboardInterrupt
        print(
            f"Finished: {_epochs(self._finished)}. Sample it with: "
            f"python generate.py --model {self.folder / 'generator.keras'}",
            flush=True,
        )

    def steps(self, count):
        """Yield the number of each training step of an epoch, from 1, and show the progress."""
        self._sums = {}
        bar = None
        if sys.stdout.isatty():
            left = f", {self._time_left()} left" if self._finished else ""
            print(f"Epoch {self._epoch}/{self.arguments.epochs}{left}")
            bar = keras.utils.Progbar(count, width=5)
        for step in range(1, count + 1):
            yield step
            means = {name: total / step for name, total in self._sums.items()}
            if bar:
                bar.stateful_metrics = means  # so it calls values that are means already
                bar.update(step, means.items() if step == count else _as_many_as_fit(means))
            if self._stop and step < count:
                raise KeyboardInterrupt
        for name, mean in means.items():
            self._history.setdefault(name, []).append(mean)

    def log(self, **losses):
        """Take the losses and accuracies of a step, plain numbers."""
        for name, loss in losses.items():
            self._sums[name] = self._sums.get(name, 0.0) + loss

    def __enter__(self):
        return self

    def __exit__(self, kind, problem, _traceback):
        if self._usual_handler is not None:
            signal.signal(signal.SIGINT, self._usual_handler)
        if isinstance(problem, UserError):
            self._parser.error(problem)
        if isinstance(problem, OSError):
            self._leave(1, f"error: {problem.filename or 'standard output'}: {problem.strerror}")
        if isinstance(problem, KeyboardInterrupt):
            self._leave(130, f"stopped {self._how_to_go_on()}")

    def _leave(self, status, message):
        print(f"{self.name}.py: {message}", file=sys.stderr)
        raise SystemExit(status)

    def _arguments_of_the_run(self, argv):
        """The arguments that the run in the folder began with, but for what may differ."""
        record = run_folder.read_record(self.folder, self.name)
        if record["epochs_finished"] and not (self.folder / "checkpoint.npz").exists():
            raise UserError(
                f"{self.folder} has no checkpoint.npz of its {_epochs(record['epochs_finished'])}"
            )
        self._data = record["data"]
        # What "auto" found then, so that going on does not depend on what it finds now.
        stored = record["arguments"] | {"data": record["data"]["source"]}
        again = [f"--{name}={value}" for name, value in stored.items() if value is not None]
        began = vars(self._parser.parse_args(again))
        now = self._parser.parse_args(again + list(sys.argv[1:] if argv is None else argv))
        for key, value in vars(now).items():
            if value != began[key] and key not in MAY_CHANGE:
                option, before = f"--{key.replace('_', '-')}", began[key]
                raise UserError(
                    f"the run in {self.folder} began "
                    f"{f'without {option}' if before is None else f'with {option} {before}'}, "
                    f"not with {value}; on --resume only --epochs and --data may change"
                )
        return now

    def _restore(self):
        path = self.folder / "checkpoint.npz"
        if not path.exists():  # stopped within the first epoch
            return
        arrays, state = checkpoints.read(path, self._models)
        try:
            self._finished, self._seconds = int(state["epoch"]), float(state["seconds"])
            self._history = {name: list(values) for name, values in state["history"].items()}
            self.rng.bit_generator.state = state["rng"]
        except (LookupError, TypeError, ValueError, AttributeError) as problem:
            raise UserError(f"{path} is damaged: {problem}") from None
        checkpoints.restore(self._models, arrays)
        self.arguments.epochs = max(self.arguments.epochs, self._finished)

    def _save(self, draw_samples):
        """Save a finished epoch. The checkpoint comes last: --resume goes by it alone."""
        draw_samples(self.folder / "samples" / f"epoch_{self._epoch:04d}.png")
        with replacing(self.folder / "generator.keras") as beside:
            self._models["generator"].save(beside)
        run_folder.write_losses(self.folder, self._history)
        plotting.save_curves(self._history, self.folder / "losses.png")
        state = {
            "epoch": self._epoch,
            "seconds": self._seconds,
            "history": self._history,
            "rng": self.rng.bit_generator.state,
        }
        checkpoints.save(self.folder / "checkpoint.npz", self._models, state)
        self._finished = self._epoch
        self._write_record()

    def _write_record(self):
        not_kept = ("out", "resume", "overwrite")
        arguments = {k: v for k, v in vars(self.arguments).items() if k not in not_kept}
        record = {
            "script": self.name,
            "arguments": {name.replace("_", "-"): value for name, value in arguments.items()},
            "data": self._data,
            "epochs_finished": self._finished,
            "seconds": round(self._seconds, 1),
        }
        run_folder.write_record(self.folder, record)

    def _summary(self):
        losses = ", ".join(f"{name} {values[-1]:.3f}" for name, values in self._history.items())
        return f"epoch {self._epoch}/{self.arguments.epochs}: {losses}"

    def _time_left(self):
        seconds = (self.arguments.epochs - self._finished) * self._seconds / self._finished
        if seconds < 90:
            return f"{seconds:.0f} s"
        return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"

    def _how_to_go_on(self):
        if not self._models:
            return "before the training began"
        command = ["python", f"{self.name}.py", "--resume"]
        if self.folder != Path("runs", self.name):
            command += ["--out", str(self.folder)]
        return (
            f"with {_epochs(self._finished)} saved in {self.folder}; "
            f"go on with: {shlex.join(command)}"
        )

    def _on_interrupt(self, _signal, _frame):
        signal.signal(signal.SIGINT, signal.default_int_handler)
        self._stop = True
        print("\nStopping after this step; Ctrl-C once more stops at once.", file=sys.stderr)


def _epochs(count):
    return f"{count} epoch{'' if count == 1 else 's'}"


def _as_many_as_fit(means):
    """The first means that a line of the terminal has room for: a longer line cannot be redrawn."""
    room = shutil.get_terminal_size().columns - len("468/468 ━━━━━ 1:00:00 999ms/step")
    for name, mean in means.items():
        room -= len(f" - {name}: 0.1234")
        if room < 0:
            return
        yield name, mean
