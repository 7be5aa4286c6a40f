"""Writing index.html, a page with the pictures, curves and settings of a run, for a browser.

The page needs no server and no network. It refers to the pictures in the run folder by relative
paths, so that the folder can be moved. All that the page says is one JSON object, which is made
here; page.html, the template, makes a page of it.
"""

import contextlib
import json
import math
import shlex
import time
from pathlib import Path

from common import plotting
from common.files import find_samples, sample_path, write_text
from common.training import resuming
from common.training.progress import in_words
from common.training.quality import remarks

from PIL import Image

# Read only once, so that a change of the template does not affect a run that is in progress.
TEMPLATE = Path(__file__).with_name("page.html").read_text(encoding="utf-8")
STATES = {
    "running": "running",
    "finished": "finished",
    "stopped": "stopped",
    "failed": "ended by an error",
}


def write(folder, prog, record, progress, state="running", message=""):
    """Write the index.html of a run folder, which is replaced in one step.

    Args:
        folder: the run folder.
        prog: the path of the script, for commands to copy.
        record: the content of run.json, a dict with script, versions, arguments and data.
        progress: the `Progress` of the run.
        state: a key of `STATES`. In the state "running" the page keeps reloading itself.
        message: a sentence about that state, such as the error that ended the run.

    Raises OSError if the file cannot be written.
    """
    epochs = max(record["arguments"]["epochs"], progress.epochs)
    arguments = {f"--{name}": value for name, value in record["arguments"].items()}
    data = record["data"] | {"sha256": record["data"].get("sha256", "")[:12]}
    facts = {"Arguments": {"--out": folder} | arguments, "Data": data}
    facts["Versions"] = record["versions"] | {"device": record.get("device")}
    content = {
        "name": record["script"],
        "state": state,
        "state_in_words": STATES[state],
        "finished": progress.epochs,
        "of_epochs": epochs,
        "summary": _summary(progress, epochs, state),
        "message": message,
        "commands": list(_commands(folder, prog, progress, state)),
        "facts": {
            title: {name: _as_text(value) for name, value in group.items() if value is not None}
            for title, group in facts.items()
        },
    }
    content["remarks"] = remarks(progress.quality) if record.get("best") else []
    content |= _samples(folder, progress) | _times(record, progress, state)
    content["panels"] = _panels(progress)
    text = json.dumps(content, separators=(",", ":"))
    # Inside HTML, a "<" might end the script element. If the name of a folder is not valid UTF-8,
    # Python represents it by surrogates, which `json` writes as escapes.
    page = TEMPLATE.replace("{{json}}", text.replace("<", "\\u003c"))
    write_text(folder / "index.html", page)


def _as_text(value):
    if isinstance(value, bool):
        return "yes" if value else "no"
    return ", ".join(map(str, value)) if isinstance(value, list | tuple) else str(value)


def _summary(progress, epochs, state):
    steps = f" and {progress.steps} steps of the next" if progress.steps else ""
    parts = [f"{progress.epochs} of {epochs} epochs{steps}"]
    if progress.seconds:
        parts.append(f"{in_words(progress.seconds)} spent")
    if state == "running" and progress.epochs:
        parts.append(f"about {progress.time_left(epochs)} left")
    return ", ".join(parts) + "."


def _commands(folder, prog, progress, state):
    """Yield pairs of a purpose and the command for it."""
    if state == "finished":
        more = resuming.command(prog, folder, "--epochs", str(2 * progress.epochs))
        yield "Train for longer", more
    else:
        aim = "Resume it, should it stop" if state == "running" else "Resume it"
        yield aim, resuming.command(prog, folder)
    if progress.epochs:
        generate = ["python", "generate.py", "--model", str(folder / "generator.keras")]
        yield "Draw pictures", shlex.join(generate)
        yield "Animate these pictures", shlex.join([*generate, "--learning"])
        yield "Play with it", shlex.join(["python", "explore.py", *generate[2:]])


def _samples(folder, progress):
    """The epochs that have a picture, and the size of the newest one, if it can be read.

    With its size given, the page does not jump when the picture is loaded.
    """
    pictures = [epoch for epoch in find_samples(folder) if epoch <= progress.epochs]
    size = None
    path = sample_path(folder, pictures[-1] if pictures else 0)
    with contextlib.suppress(OSError), Image.open(path) as image:
        size = image.size
    return {"pictures": pictures, "picture_size": size}


def _panels(progress):
    """The curves of each plot: losses, accuracies, and each figure of quality by itself."""
    names = [*plotting.panels(progress.history)]
    groups = [[name for name in panel if "accuracy" not in name] for panel in names]
    groups += [[name for name in panel if "accuracy" in name] for panel in names]
    curves = progress.history | progress.quality
    groups += [[name] for name in progress.quality]
    return [{name: [*map(_rounded, curves[name])] for name in group} for group in groups if group]


def _rounded(value):
    return float(f"{value:.5g}") if value is not None and math.isfinite(value) else None


def _times(record, progress, state):
    """When the page was written, and the seconds until it reloads itself or says "no news".

    The page is written after each epoch, and at each checkpoint within an epoch.
    """
    wait, reload_after = 60 * float(record["arguments"]["checkpoint-minutes"]), 5
    if progress.epochs:
        epoch = progress.seconds / progress.epochs
        wait, reload_after = min(wait, epoch), min(max(2, epoch / 4), 30)
    return {
        "running": state == "running",
        "written": round(time.time(), 1),
        "reload_after": reload_after,
        "silent_after": 3 * wait + 120,
    }
