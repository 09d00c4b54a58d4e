"""The folder of a sweep whose files broke."""

from pathlib import Path

import pytest
from searches import RANDOM, Search, spec

from greensweep.errors import StudyError
from greensweep.record.result import RunResult, write_result
from greensweep.search.folders import OWNER_FILE, check_owner, keep_owner


def value_of(params: object) -> float:
    return 1.0


def test_a_torn_mark_of_a_folder_is_told_and_its_own_study_goes_on(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    search = Search(spec(tmp_path, 1, sampler=RANDOM), value_of)
    keep_owner(search.spec, search.study)
    search.run()
    write_result(RunResult("finished", None, "m", "d", 0, trial=0), tmp_path / "0")
    (tmp_path / OWNER_FILE).write_text('{"study_name": "stu')
    keep_owner(search.spec, search.study)
    assert OWNER_FILE in caplog.text
    keep_owner(search.spec, search.study)  # it is marked anew
    with pytest.raises(StudyError, match="holds the trials of"):
        check_owner(search.spec, None)
