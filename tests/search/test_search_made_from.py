"""A search starts anew where what it was made from has changed."""

from pathlib import Path

import pytest

from greensweep.errors import StudyError
from greensweep.search.made_from import changed_inputs, digest_inputs, keep_inputs


@pytest.fixture
def begun(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of a search that was made from a configuration and a folder `code`."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "code" / "__pycache__").mkdir(parents=True)
    (tmp_path / "code" / "loop.py").write_text("steps = 1\n")
    (tmp_path / "sweep").mkdir()
    keep_inputs(tmp_path / "sweep", digest_inputs("epochs: 2", ["code"]))
    return tmp_path / "sweep"


def test_nothing_has_changed_at_first(begun: Path) -> None:
    Path("code/__pycache__/loop.pyc").write_bytes(b"compiled")
    assert changed_inputs(begun, digest_inputs("epochs: 2", ["code"])) == []


def test_what_changed_is_named(begun: Path) -> None:
    assert changed_inputs(begun, digest_inputs("epochs: 3", ["code"])) == ["the configuration"]
    Path("code/loop.py").write_text("steps = 2\n")
    assert changed_inputs(begun, digest_inputs("epochs: 2", ["code"])) == ["code"]


def test_a_renamed_file_is_a_change(begun: Path) -> None:
    Path("code/loop.py").rename("code/step.py")
    assert changed_inputs(begun, digest_inputs("epochs: 2", ["code"])) == ["code"]


def test_a_search_without_a_record_has_changed_and_a_new_one_has_not(
    begun: Path, tmp_path: Path
) -> None:
    (begun / "made_from.json").write_text("{")
    asked = digest_inputs("epochs: 2", ["code"])
    assert changed_inputs(begun, asked) == ["code", "the configuration"]
    assert changed_inputs(tmp_path / "new", asked) == []


def test_an_input_that_is_not_there_is_named(begun: Path) -> None:
    with pytest.raises(StudyError, match="made_from names data, which does not exist"):
        digest_inputs("epochs: 2", ["data"])
