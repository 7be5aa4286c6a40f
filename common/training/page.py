"""Writing index.html, a page with the pictures, curves and settings of a run, for a browser.

The page needs no server and no network. It refers to the pictures in the run folder by relative
paths, so that the folder can be moved. What the run knows is put into page.html, the template, as
one JSON object; the script in it makes words and curves of that.
"""

import contextlib
import json
import time
from pathlib import Path

from common.arguments import command_line, error_text
from common.files import find_samples, sample_path, write_text
from common.training import resuming
from common.training.quality import remarks

from PIL import Image

# Read only once, so that a change of the template does not affect a run that is in progress.
TEMPLATE = Path(__file__).with_name("page.html").read_text(encoding="utf-8")


def write(folder, prog, record, progress, state="running", message=""):
    """Write the index.html of a run folder, which is replaced in one step.

    Args:
        folder: the run folder.
        prog: the path of the script, for commands to copy.
        record: the content of run.json, a dict with script, versions, arguments and data.
        progress: the `Progress` of the run.
        state: "running", in which the page keeps reloading itself, "finished", "stopped" or
            "failed".
        message: a sentence about that state, such as the error that ended the run.

    Raises OSError if the file cannot be written.
    """
    pictures = [epoch for epoch in find_samples(folder) if epoch <= progress.epochs]
    size = None  # with it, the page does not jump when the picture is loaded
    with (
        contextlib.suppress(OSError),
        Image.open(sample_path(folder, max(pictures, default=0))) as image,
    ):
        size = image.size
    content = {
        "folder": str(folder),
        "record": record,
        "progress": vars(progress),
        "state": state,
        "message": message,
        "remarks": remarks(progress.quality) if record.get("best") else [],
        "commands": list(_commands(folder, prog, progress, state)),
        "pictures": pictures,
        "picture_size": size,
        "written": round(time.time(), 1),
    }
    text = json.dumps(content, separators=(",", ":"), default=str)
    # Inside HTML, a "<" might end the script element. If the name of a folder is not valid UTF-8,
    # Python represents it by surrogates, which `json` writes as escapes.
    page = TEMPLATE.replace("{{json}}", text.replace("<", "\\u003c"))
    write_text(folder / "index.html", page)


def ending(problem, saved):
    """The last state of a run and a message about it, by the exception that ended it, or None."""
    if problem is None:
        return "finished", ""
    if isinstance(problem, KeyboardInterrupt):
        return "stopped", f"Stopped with {saved} saved."
    return "failed", error_text(problem)


def _commands(folder, prog, progress, state):
    """Yield pairs of a purpose and the command for it."""
    if state == "finished":
        more = resuming.command(prog, folder, "--epochs", str(2 * progress.epochs))
        yield "Train for longer", more
    else:
        aim = "Resume it, should it stop" if state == "running" else "Resume it"
        yield aim, resuming.command(prog, folder)
    if progress.epochs:
        model = ["--model", str(folder / "generator.keras")]
        yield "Draw pictures", command_line("generate.py", *model)
        yield "Animate these pictures", command_line("generate.py", *model, "--learning")
        yield "Play with it", command_line("explore.py", *model)
