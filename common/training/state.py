"""The state of a training run, and how it is saved in the run folder and restored."""

import contextlib
import math

from common import UserError, plotting
from common.models import saved_models
from common.models.averaging import MovingAverage
from common.training import checkpoints, page, resuming, run_folder
from common.training.progress import Progress

import numpy as np

SAVED_MODELS = ("generator", "encoder")  # saved in files of their own, for generate.py


class Diverged(Exception):
    """Losses or weights have become NaN or infinite. Training cannot recover from that."""


class RunState:
    """Models, random numbers and progress of one run, and the files that hold them.

    Attributes:
        name: the name of the script.
        folder: the run folder.
        arguments: the arguments on the command line.
        rng: the numpy Generator for all random numbers in training.
        data: source, number and SHA-256 of the images, as in run.json.
        about: what is saved in the file of a generator besides the model, such as `class_names`.
        models: all models that are trained, by name; empty until `set_models`.
        average: the `MovingAverage` of the models that are saved.
        progress: the `Progress`.
        saved: the progress at the newest checkpoint, in words.
    """

    def __init__(self, name, arguments, data, rng):
        self.name, self.folder = name, arguments.out
        self.arguments, self.data, self.rng = arguments, data, rng
        self.about = {"script": name}
        self.models, self.average = {}, None
        self.progress = Progress()
        self.saved = str(self.progress)

    def set_data(self, dataset):
        """Set the images. Raises UserError if a resumed run had other images."""
        digest = dataset.sha256()
        if self.data.get("sha256") not in (None, digest):
            raise UserError(
                f"the images from {dataset.source} are not those that the run in {self.folder} "
                f"began with: {self.data.get('images')} from {self.data.get('source')}"
            )
        self.data = {"source": dataset.source, "images": len(dataset.images), "sha256": digest}
        for name in ("class_names", "colours", "numbered_from"):
            if hasattr(dataset, name):
                self.about[name] = np.asarray(getattr(dataset, name)).tolist()

    def set_models(self, models, decay):
        """Set the models of the run, and begin to average those that are saved."""
        self.models = models
        self.average = MovingAverage(
            *[models[name] for name in SAVED_MODELS if name in models], decay=decay
        )

    def averaged_models(self):
        """The averaged copies of the models that are saved, by name."""
        return {
            name: self.average.of(self.models[name]) for name in SAVED_MODELS if name in self.models
        }

    def restore(self, devices):
        """Restore the state of the checkpoint, which the first machine reads for all of them.

        Raises UserError if it is not one of this run.
        """
        path = self.folder / "checkpoint.npz"

        def check_state(state):
            resuming.check_state(state, self.name, self._identity(), self.folder)

        def read():
            if not path.exists():  # the run was stopped before its first checkpoint
                return None
            try:
                arrays, state = checkpoints.read(path, self._in_checkpoint(), check_state)
            except UserError as problem:
                raise UserError(f"{problem}; {run_folder.START_ANEW}") from None
            checkpoints.restore(self._in_checkpoint(), arrays)
            return state

        state = devices.from_first(read)
        if state is None:
            return
        try:
            self.progress = Progress.from_json(state["progress"])
            self.rng.bit_generator.state = state["rng"]
        except (LookupError, TypeError, ValueError, AttributeError) as problem:
            raise UserError(f"{path} is damaged: {problem}; {run_folder.START_ANEW}") from None
        if devices.addresses:
            checkpoints.copy_from_first(self._in_checkpoint(), devices)
        self.saved = str(self.progress)
        self.arguments.epochs = max(self.arguments.epochs, self.progress.epochs)

    def check_losses(self, losses, where):
        """Raise Diverged if a loss is NaN or infinite. `where` is a part of the message."""
        if not all(map(math.isfinite, losses.values())):
            values = ", ".join(f"{name} {value:g}" for name, value in losses.items())
            self._diverge(f"at {where}epoch {self.progress.epochs + 1}: {values}")

    def check_weights(self):
        """Raise Diverged if a weight is NaN or infinite.

        The losses of a step are computed before the step updates the weights, so the weights can
        be NaN while the losses are still finite.
        """
        if not checkpoints.is_finite(self.models):
            self._diverge(f"in epoch {self.progress.epochs + 1}: some weights are NaN or infinite")

    def _diverge(self, where):
        epochs = self.progress.epochs
        kept = f"the generator of epoch {epochs} stays in" if epochs else "nothing was saved in"
        raise Diverged(
            f"the training has diverged {where}; {kept} {self.folder}; "
            "try another --seed or a larger --batch-size"
        )

    def clear_folder(self):
        """Delete what is left of an earlier run, or of a process that was killed."""
        if self.arguments.resume:
            run_folder.delete_half_written(self.folder)
        elif self.arguments.overwrite:
            run_folder.delete_run(self.folder)
        (self.folder / "samples").mkdir(exist_ok=True)

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
        """Write everything that --resume needs."""
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
        """Write index.html. `state` is one of `page.STATES`; `message` says why the run ended."""
        record = self._record()
        record["data"] = self.data | {"classes": self.about.get("class_names")}
        page.write(self.folder, record, self.progress, state, message)

    def write_last_page(self, problem):
        """Write index.html at the end of a run; `problem` is the exception that ended it."""
        # If the run ended because no file can be written, the user need not hear of it twice.
        with contextlib.suppress(OSError):
            if problem is None:
                self.write_page("finished")
            elif isinstance(problem, KeyboardInterrupt):
                self.write_page("stopped", f"Stopped with {self.saved} saved.")
            else:
                self.write_page("failed", error_text(problem))

    def resume_hint(self):
        """What is saved, and the command that resumes the run."""
        if not self.models or not (self.folder / "run.json").exists():
            return "before the training began"
        return f"with {self.saved} saved in {self.folder}; go on with: {self._resume_command()}"

    def _resume_command(self):
        gpus = ["--gpus", str(self.arguments.gpus)] if self.arguments.gpus else []
        return resuming.command(self.name, self.folder, *gpus)

    def _in_checkpoint(self):
        return self.models | {"average": self.average}

    def _identity(self):
        return resuming.identity(self.arguments, self.data)

    def _record(self):
        not_recorded = ("out", "resume", "overwrite", "gpus")
        arguments = {k: v for k, v in vars(self.arguments).items() if k not in not_recorded}
        return run_folder.origin(self.name) | {
            "arguments": {name.replace("_", "-"): value for name, value in arguments.items()},
            "data": self.data,
            "epochs_finished": self.progress.epochs,
            "seconds": round(self.progress.seconds, 1),
        }


class FollowingState(RunState):
    """The state of a run on a machine that is not the first: nothing is written there."""

    def _write_nothing(self, *_arguments):
        pass

    clear_folder = save_results = write_record = write_page = write_last_page = _write_nothing

    def save_checkpoint(self):
        """The first machine saves it now."""
        self.saved = str(self.progress)

    def resume_hint(self):
        """The command that resumes the run."""
        return f"with what the first machine has saved; go on with: {self._resume_command()}"


def error_text(problem):
    """The message of an exception, on one line."""
    if isinstance(problem, OSError):
        return f"{problem.filename or 'standard output'}: {problem.strerror}"
    return " ".join(str(problem).split()) or type(problem).__name__
