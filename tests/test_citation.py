"""How to cite: `CITATION.cff` is valid, and the documentation says the same."""

import re
from typing import Any

import pytest
import yaml
from conftest import PROJECT

import greensweep

BIBTEX = re.search(
    r"```bibtex\n(.*?)```", (PROJECT / "docs" / "index.md").read_text(encoding="utf-8"), re.S
)


@pytest.fixture(scope="module")
def citation() -> Any:
    return yaml.safe_load((PROJECT / "CITATION.cff").read_text(encoding="utf-8"))


def test_the_citation_is_of_this_version(citation: Any) -> None:
    # What version 1.2.0 of the format demands, at the values that it allows.
    assert {"cff-version", "message", "title", "authors"} <= set(citation)
    assert (citation["cff-version"], citation["type"]) == ("1.2.0", "software")
    assert citation["version"] == greensweep.__version__


def test_the_documentation_cites_as_the_file_does(citation: Any) -> None:
    assert BIBTEX is not None
    software, paper = BIBTEX[1].replace("{\\'i}", "í").split("\n\n")
    for text in (citation["title"], citation["version"], citation["authors"][0]["name"]):
        assert f"{{{text}}}" in software
    reference = citation["references"][0]
    assert f"title = {{{reference['title']}}}" in paper.replace("{Green} {AI}", "Green AI")
    assert f"year = {{{reference['year']}}}" in paper
    assert reference["collection-title"] in paper
    written = [f"{each['family-names']}, {each['given-names']}" for each in reference["authors"]]
    assert f"author = {{{' and '.join(written)}}}" in paper
    assert reference["identifiers"][0]["value"].removeprefix("arXiv:") in paper
