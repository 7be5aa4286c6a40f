"""The translations in docs/ko, docs/zh …: code, numbers and links are as in the English pages."""

import os
import re
from collections import Counter
from pathlib import Path

import documents
import pytest
from conftest import PROJECT

ENGLISH = {"README.md": PROJECT / "README.md", "course.md": PROJECT / "docs/course.md"}
LANGUAGES = sorted(PROJECT.glob("docs/[a-z][a-z]"))
TRANSLATIONS = [language / name for language in LANGUAGES for name in ENGLISH]

page = pytest.mark.parametrize("path", TRANSLATIONS, ids=lambda path: "-".join(path.parts[-2:]))


def both(path, without_blocks=False):
    """The text of a translation, and of its original."""
    texts = [documents.read(path), documents.read(ENGLISH[path.name])]
    return [documents.FENCE.sub("", text) for text in texts] if without_blocks else texts


def anchors(path):
    """Those that GitHub gives to the headings, in their order: no capitals and no punctuation."""
    text = documents.FENCE.sub("", documents.read(path))
    headings = re.findall(r"^#+ (.+)$", text, re.MULTILINE)
    return [re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings]


def destinations(path):
    """The English page or file that each relative link leads to, and the heading's number.

    Links to another language are left out, in either direction.
    """
    for target in re.findall(r"\]\(([^)\s]+)\)", documents.FENCE.sub("", documents.read(path))):
        if target.startswith("http"):
            continue
        file, _, anchor = target.partition("#")
        file = Path(os.path.normpath(path.parent / file)) if file else path
        assert file.exists(), target
        if file in TRANSLATIONS and file.parent != path.parent:
            continue
        assert not anchor or anchor in anchors(file), target
        heading = anchors(file).index(anchor) if anchor else None
        yield (ENGLISH[file.name] if file in TRANSLATIONS else file, heading)


def inline(text, mark):
    """What stands between two marks in sentences, whatever the breaks of lines."""
    return {" ".join(code.split()) for code in re.findall(f"[{mark}]([^{mark}]+)[{mark}]", text)}


@page
def test_blocks_are_identical(path):
    translated, english = map(documents.FENCE.findall, both(path))
    assert translated == english


@page
def test_code_mathematics_and_decimals_in_sentences_are_the_same(path):
    translated, english = both(path, without_blocks=True)
    assert inline(translated, "`") == inline(english, "`")
    assert inline(translated, "$") == inline(english, "$")
    decimals = [Counter(re.findall(r"\d+\.\d+", text)) for text in (translated, english)]
    assert decimals[0] == decimals[1]


@page
def test_numbers_in_tables_are_the_same(path):
    translated, english = (
        [
            [sorted(re.findall(r"\d+(?:\.\d+)?", cell)) for cell in row.split("|")]
            for row in re.findall(r"^ *\|.*\|$", text, re.MULTILINE)
        ]
        for text in both(path)
    )
    assert translated == english


@page
def test_links_lead_where_the_english_ones_do_and_one_to_the_original(path):
    translated, english = list(destinations(path)), Counter(destinations(ENGLISH[path.name]))
    original = (ENGLISH[path.name], None)
    assert translated[0] == original
    assert Counter(translated) == english + Counter([original])


@page
def test_github_shows_emphasis_and_mathematics(path):
    """It does not where a letter follows `)*`, or where a letter or a bracket precedes a `$`."""
    text, _ = both(path, without_blocks=True)
    text = re.sub("`[^`]+`", "`", text)
    for emphasis in re.finditer(r"(\w?)\*+(\W?)[^*]*?(\W?)\*+(?=(\w?))", text):
        before, first, last, after = emphasis.groups()
        assert not (before and first) and not (last and after), emphasis[0]
    assert not re.findall(r".*\S\$$", re.sub(r"\$[^$]+\$", "$\n", text), re.MULTILINE)
