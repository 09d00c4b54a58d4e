"""Files are written whole or not at all, and one that is broken is kept, with a warning."""

import builtins
import io
import logging
import os
import threading
from collections.abc import Callable
from pathlib import Path

import pytest
from conftest import Finished

from greensweep.files import read_json, write_json, write_text, write_together, write_whole


def test_a_file_that_cannot_be_finished_leaves_the_one_before(tmp_path: Path) -> None:
    path = tmp_path / "kept.json"
    write_json(path, {"a": 1})

    def fail(part: Path) -> None:
        part.write_text("half")
        raise OSError(28, "No space left on device", str(part))

    with pytest.raises(OSError, match="No space left") as raised:
        write_whole(path, fail)
    assert raised.value.filename == str(path)  # not the part, which nobody knows
    assert read_json(path) == {"a": 1}
    assert [each.name for each in tmp_path.iterdir()] == ["kept.json"]


def test_writers_of_one_file_at_once_never_mix_and_never_fail(tmp_path: Path) -> None:
    path, faults = tmp_path / "kept.json", []

    def write(number: int) -> None:
        try:
            for _ in range(10):
                write_json(path, {"number": number, "text": str(number) * 2000})
                kept = read_json(path)
                assert kept is not None and kept["text"] == str(kept["number"]) * 2000
        except BaseException as fault:
            faults.append(fault)

    threads = [threading.Thread(target=write, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert faults == []
    assert [each.name for each in tmp_path.iterdir()] == ["kept.json"]


def fill(*names: str) -> Callable[[Path], None]:
    """Write files, each with its own name in it; one below a folder makes that."""

    def write(folder: Path) -> None:
        for name in names:
            (folder / name).parent.mkdir(exist_ok=True)
            (folder / name).write_text(name)

    return write


def left_in(folder: Path) -> set[str]:
    return {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}


def test_files_that_belong_together_replace_earlier_ones_and_leave_others(tmp_path: Path) -> None:
    folder = tmp_path / "new" / "report"
    write_together(folder, "index", ["figures"], fill("index", "figures/a", "figures/b"))
    (folder / "notes").write_text("of a person")
    write_together(folder, "index", ["figures", "tables"], fill("index", "figures/c"))
    assert left_in(folder) == {"index", "figures/c", "notes"}


def test_what_cannot_be_finished_together_leaves_all_that_was_before(tmp_path: Path) -> None:
    write_together(tmp_path, "index", [], fill("index", "table"))

    def fail(folder: Path) -> None:
        fill("index", "table")(folder)
        raise OSError(28, "No space left on device")

    with pytest.raises(OSError, match="No space left"):
        write_together(tmp_path, "index", ["table"], fail)
    assert left_in(tmp_path) == {"index", "table"}
    assert [path.name for path in tmp_path.iterdir() if path.is_dir()] == []


def test_the_last_file_is_there_only_while_the_others_are_whole(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_together(tmp_path, "index", [], fill("index", "table"))

    def killed(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(Path, "replace", killed)
    with pytest.raises(KeyboardInterrupt):
        write_together(tmp_path, "index", ["table"], fill("index", "table"))
    assert "index" not in left_in(tmp_path)


BROKEN: dict[str, Callable[[Path], object]] = {
    "cut": lambda path: path.write_text('{"a": '),
    "empty": lambda path: path.write_text(""),
    "not UTF-8": lambda path: path.write_bytes(b"\xff\xfe{"),
    "a list": lambda path: path.write_text("[]"),
}


@pytest.mark.parametrize("spoil", BROKEN.values(), ids=BROKEN)
def test_a_broken_file_is_warned_of_once_and_kept_beside(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, spoil: Callable[[Path], object]
) -> None:
    path = tmp_path / "study.json"
    for copies in (1, 2):
        spoil(path)
        assert read_json(path) is None
        assert read_json(path) is None
        assert len(caplog.records) == copies
        assert len(list(tmp_path.glob("study.json.broken*"))) == copies
    assert caplog.records[0].levelno == logging.WARNING
    assert "study.json is broken (" in caplog.text


def test_a_file_that_cannot_be_read_now_stays_where_it_is(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "study.json").mkdir()  # as root no permission is refused
    assert read_json(tmp_path / "study.json") is None
    assert "study.json cannot be read (Is a directory)" in caplog.text
    assert [each.name for each in tmp_path.iterdir()] == ["study.json"]


def test_no_file_is_no_fault(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    (tmp_path / "file").write_text("")
    assert read_json(tmp_path / "none.json") is None
    assert read_json(tmp_path / "file" / "none.json") is None
    assert not caplog.records


def test_lines_end_as_they_are_written(tmp_path: Path) -> None:
    write_text(tmp_path / "text", "a\nü\r\n")
    assert (tmp_path / "text").read_bytes() == b"a\n\xc3\xbc\r\n"


def test_no_secret_is_written(tmp_path: Path) -> None:
    write_json(tmp_path / "a.json", {"password": "x y", "uri": "https://ada:PW@h", "n": 1})
    assert read_json(tmp_path / "a.json") == {"password": "***", "uri": "https://ada:***@h", "n": 1}


@pytest.fixture
def written(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> set[str]:
    """The files that Python opens to write, by their paths in the test's folder."""
    paths: set[str] = set()
    plain = io.open  # the same as `open`, but for who looks it up

    def noted(file: object, mode: str = "r", *arguments: object, **options: object) -> object:
        if isinstance(file, str | os.PathLike) and set(mode) & set("wx+"):
            path = Path(os.fsdecode(file)).absolute()
            if path.is_relative_to(tmp_path):
                paths.add(str(path.relative_to(tmp_path)))
        return plain(file, mode, *arguments, **options)  # type: ignore[call-overload]

    monkeypatch.setattr(io, "open", noted)
    monkeypatch.setattr(builtins, "open", noted)
    return paths


def test_what_commands_leave_is_written_whole_or_not_at_all(
    cli: Callable[..., Finished], tmp_path: Path, written: set[str]
) -> None:
    run = ("model=dense_linear", "training.epochs=1", "dataset.train_limit=100", "warmup=0.1")
    run = (
        *run,
        "inference.seconds=0",
        "energy=replay",
        "energy.path=joules.csv",
        "layer_energy=true",
    )
    (tmp_path / "joules.csv").write_text("joules\n" + "1.5\n" * 99)
    sweep = ("-m", "hydra/sweeper=greensweep", "hydra.sweeper.n_trials=1", "hydra.sweep.dir=sweep")
    ended = cli("train.py", *sweep, *run)
    assert ended.status == 0, ended.errors
    table = ("source=sweep/trials.csv", "columns.accuracy=validation_accuracy", "analysis=tradeoff")
    analysed = cli("analyse.py", *table)
    assert analysed.status == 0, analysed.errors
    assert cli("prepare.py", "dataset=digits", "output=lists").status == 0
    left = {path for path in written if (tmp_path / path).is_file()} - {"joules.csv"}
    # Hydra's own, and what grows.
    others = {path for path in left if ".hydra/" in path or path.endswith((".log", ".lock"))}
    assert left - others == set()
    for name in ("study.json", "trials.csv", "study_of.json", "0/result.json", "0/config.yaml"):
        assert (tmp_path / "sweep" / name).is_file()
