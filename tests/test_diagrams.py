"""Diagrams of models: a box for each layer, in its place."""

import re

from common.sampling import diagrams

import pytest
from conftest import PROJECT
from PIL import Image

MODELS = [
    "cgan_fashion.define_discriminator",
    "cgan_mnist.define_generator",
    "wgan_gp_fashion.define_critic_trainer",
    "gaugan_facades.define_generator image_size=8 width=0.1",
]


def boxes(words):
    name, *settings = words.split()
    return diagrams.boxes_of(diagrams.make(name, settings))


@pytest.mark.parametrize("words", MODELS)
def test_every_box_has_a_place_of_its_own_below_what_it_reads(words):
    found = boxes(words)
    assert len({(box.row, box.column) for box in found}) == len(found)
    assert all(parent.row < box.row for box in found for parent in box.parents)
    assert min(box.row for box in found) == min(box.column for box in found) == 0


def test_what_the_boxes_say():
    found = boxes("cgan_fashion.define_gan")
    assert [(box.title, box.detail) for box in found if box.kind != "other"] == [
        ("input latent", "100"),
        ("Dense 6272", "6272   (633,472 weights)"),
        ("input label", "1"),
        ("Embedding", "1 × 50   (500 weights)"),
        ("Dense 49", "1 × 49   (2,499 weights)"),
        ("Conv2DTranspose 4×4 128 stride 2", "14 × 14 × 128   (264,320 weights)"),
        ("Conv2DTranspose 4×4 128 stride 2", "28 × 28 × 128   (262,272 weights)"),
        ("Conv2DTranspose 7×7 1", "28 × 28 × 1   (6,273 weights)"),
        ("Frozen", "1"),
    ]
    (join,) = (box for box in found if box.title == "Concatenate")
    assert [(parent.title, parent.column) for parent in join.parents] == [
        ("Reshape", 0),
        ("Reshape", 1),
    ]


def test_the_diagrams_in_the_documents_are_up_to_date():
    course = (PROJECT / "docs/course.md").read_text(encoding="utf-8")
    pattern = r"\]\((\S+\.png)\)\s+\*`python -m common.sampling.diagrams ([^`]+)`"
    found = re.findall(pattern, course)
    assert len(found) == 5
    for path, words in found:
        name, *settings = words.split()
        with Image.open(PROJECT / "docs" / path) as picture:
            assert picture.text["Description"] == diagrams.describe(diagrams.make(name, settings))


def test_a_model_that_is_called_twice_has_two_boxes():
    titles = [box.title for box in boxes("wgan_gp_fashion.define_critic_trainer")]
    assert titles.count("wgan_gp_fashion_critic") == 2 and titles.count("GradientNorm") == 1


def test_the_command(tmp_path, capsys):
    path = tmp_path / "diagram.png"
    diagrams.main([str(PROJECT / "trained/cgan_fashion/generator.keras"), "--out", str(path)])
    assert capsys.readouterr().out == f"{path}\n"
    with Image.open(path) as picture:
        assert picture.width == round((2 * 2.7 + 0.1) * 130)


@pytest.mark.parametrize(
    "words, problem",
    [
        ("cgan_fashion.define_nothing", "has no attribute 'define_nothing'"),
        ("no_script.define_generator", "No module named 'no_script'"),
        ("cgan_fashion.define_generator size=3", "unexpected keyword argument 'size'"),
        ("cgan_fashion.define_generator latent_dim=x", "malformed"),
        ("cgan_fashion.adam", "is not a functional model"),
        ("missing.keras", "there is no file missing.keras"),
    ],
)
def test_what_is_no_model(error_of, words, problem):
    assert problem in error_of(diagrams.main, *words.split())
