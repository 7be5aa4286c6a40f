"""Draws forty_epochs.png from forty_epochs.csv: python docs/course/forty_epochs.py"""

import csv
import sys
from pathlib import Path

from matplotlib.figure import Figure

FOLDER = Path(__file__).parent
PANELS = {
    "losses (ln 2 dashed)": ("d_loss_real", "d_loss_fake", "g_loss"),
    "label accuracy (1 is best)": ("label_accuracy",),
    "Fréchet distance (0 is best)": ("frechet_distance",),
}


def main(out=FOLDER / "forty_epochs.png"):
    with open(FOLDER / "forty_epochs.csv", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    figure = Figure((12, 3.2), 100, layout="constrained")
    for axes, (title, names) in zip(figure.subplots(1, 3), PANELS.items(), strict=True):
        for name in names:
            points = [(int(row["epoch"]), float(row[name])) for row in rows if row[name]]
            axes.plot(*zip(*points, strict=True), marker=".", label=name)
        if len(names) > 1:
            axes.axhline(0.6931, color="black", linestyle="--", linewidth=1)
            axes.legend()
        axes.set_title(title, fontsize=10)
        axes.set_xlabel("epoch")
        axes.set_ylim(bottom=0)
        axes.grid(alpha=0.3)
    figure.savefig(out)
    print(out)


if __name__ == "__main__":
    sys.exit(main())
