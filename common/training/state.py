"""What a run consists of, and how that is written to its folder and read again."""

import contextlib
import math

from common import UserError, plotting
from common.models import saved_models
from common.models.averaging import MovingAverage
from common.training import checkpoints, page, resuming, run_folder
from common.training.progress import Progress

SAVED_MODELS = ("generator", "encoder")  # what generate.py draws with, each in a file of its own


class Diverged(Exception):
    """Losses or weights have become NaN or infinite, from which a training never returns."""


class RunState:
    """Models, random numbers and progress of one run, and the files that hold them.

    Attributes:
        name: of the script. folder: of the run. arguments: of the command line.
        rng: the numpy Generator of the training.
        data: what run.json says of the data.
        about: what a saved generator says of itself, such as `class_names`.
        models: a dict of all models that are trained, empty before the run has begun.
        average: the `MovingAverage` of those that are saved.
        progress: a `Progress`. saved: how far the newest checkpoint has come, in words.
    """

    def __init__(self, name, arguments, data, rng):
        self.name, self.folder = name, arguments.out
        self.arguments, self.data, self.rng = arguments, data, rng
        self.about = {"script": name}
        self.models, self.average = {}, None
        self.progress = Progress()
        self.saved = str(self.progress)

    def take(self, models, decay):
        """Take the models of the run, and average those that are saved."""
        self.models = models
        self.average = MovingAverage(
            *[models[name] for name in SAVED_MODELS if name in models], decay=decay
        )

    def averaged_models(self):
        """The models that are saved for drawing, by name: averages, or themselves without any."""
        return {
            name: self.average.of(self.models[name]) for name in SAVED_MODELS if name in self.models
        }

    def restore(self):
        """Put everything where the checkpoint left it. Raises UserError for one of another run."""
        path = self.folder / "checkpoint.npz"
        if not path.exists():  # stopped within the first epoch
            return

        def check_state(state):
            resuming.check_state(state, self.name, self._identity(), self.folder)

        arrays, state = checkpoints.read(path, self._in_checkpoint(), check_state)
        try:
            self.progress = Progress.from_json(state["progress"])
            self.rng.bit_generator.state = state["rng"]
        except (LookupError, TypeError, ValueError, AttributeError) as problem:
            raise UserError(f"{path} is damaged: {problem}") from None
        checkpoints.restore(self._in_checkpoint(), arrays)
        self.saved = str(self.progress)
        self.arguments.epochs = max(self.arguments.epochs, self.progress.epochs)

    def check_losses(self, losses, where):
        """Raise Diverged if one of `losses` is NaN or infinite."""
        if not all(map(math.isfinite, losses.values())):
            values = ", ".join(f"{name} {value:g}" for name, value in losses.items())
            self._diverge(f"at {where}epoch {self.progress.epochs + 1}: {values}")

    def check_weights(self):
        """Raise Diverged if a weight is NaN or infinite.

        The losses of a step are computed before its update, so weights may be NaN when losses are
        not yet.
        """
        if not checkpoints.is_finite(self.models):
            self._diverge(f"in epoch {self.progress.epochs + 1}: there are weights that are NaN")

    def _diverge(self, where):
        epochs = self.progress.epochs
        kept = f"the generator of epoch {epochs} stays in" if epochs else "nothing was saved in"
        raise Diverged(
            f"the training has diverged {where}; {kept} {self.folder}; "
            "try another --seed or a larger --batch-size"
        )

    def save_results(self):
        """Write the averaged models and the losses."""
        for name, model in self.averaged_models().items():
            saved_models.save(model, self.folder / f"{name}.keras", self.about)
        history, quality = self.progress.history, self.progress.quality
        run_folder.write_losses(self.folder, history | quality)
        plotting.save_curves(history, self.folder / "losses.png")
        if quality:
            plotting.save_quality(quality, self.folder / "quality.png")

    def save_checkpoint(self):
        """Write all that --resume needs."""
        state = run_folder.origin(self.name) | {
            "run": self._identity(),
            "progress": vars(self.progress),
            "rng": self.rng.bit_generator.state,
        }
        checkpoints.save(self.folder / "checkpoint.npz", self._in_checkpoint(), state)
        self.saved = str(self.progress)

    def write_record(self):
        """Write run.json."""
        run_folder.write_record(self.folder, self._record())

    def write_page(self, state="running", message=""):
        """Write index.html; `state` and `message` say whether and why the run has ended."""
        record = self._record()
        record["data"] = self.data | {"classes": self.about.get("class_names")}
        page.write(self.folder, record, self.progress, state, message)

    def write_last_page(self, problem):
        """Write index.html for a run that ends, by an exception unless `problem` is None."""
        # If the page is what cannot be written, it is enough to hear of that once.
        with contextlib.suppress(OSError):
            if problem is None:
                self.write_page("finished")
            elif isinstance(problem, KeyboardInterrupt):
                self.write_page("stopped", f"Stopped with {self.saved} saved.")
            else:
                self.write_page("failed", described(problem))

    def how_to_go_on(self):
        """What is saved, and the command that goes on from there."""
        if not self.models:
            return "before the training began"
        command = resuming.command(self.name, self.folder)
        return f"with {self.saved} saved in {self.folder}; go on with: {command}"

    def _in_checkpoint(self):
        return self.models | {"average": self.average}

    def _identity(self):
        return resuming.identity(self.arguments, self.data)

    def _record(self):
        not_kept = ("out", "resume", "overwrite")
        arguments = {k: v for k, v in vars(self.arguments).items() if k not in not_kept}
        return run_folder.origin(self.name) | {
            "arguments": {name.replace("_", "-"): value for name, value in arguments.items()},
            "data": self.data,
            "epochs_finished": self.progress.epochs,
            "seconds": round(self.progress.seconds, 1),
        }


def described(problem):
    """What an exception says, on one line."""
    if isinstance(problem, OSError):
        return f"{problem.filename or 'standard output'}: {problem.strerror}"
    return " ".join(str(problem).split()) or type(problem).__name__
