"""A run names the stage of `dvc repro` that ran it, and the hash of its data."""

from pathlib import Path

import pytest

from greensweep.tracking.provenance import pipeline_tags

LOCK = """
schema: '2.0'
stages:
  prepare@digits:
    cmd: python src/prepare.py dataset=digits
    outs:
    - path: data/prepared/digits/splits.json
      hash: md5
      md5: 0123abcd
    - path: data/downloads/digits
      hash: md5
      md5: ffff0000.dir
"""


def test_a_run_outside_of_a_stage_has_no_tags(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("DVC_STAGE", raising=False)
    assert pipeline_tags("digits") == {}


def test_a_run_of_a_stage_carries_it_and_the_hash_of_its_data(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DVC_STAGE", "sweep@digits-random")
    monkeypatch.setenv("DVC_ROOT", str(tmp_path))
    assert pipeline_tags("digits") == {"dvc.stage": "sweep@digits-random"}
    (tmp_path / "dvc.lock").write_text(LOCK)
    tags = {"dvc.stage": "sweep@digits-random", "dvc.data": "0123abcd"}
    assert pipeline_tags("digits") == tags
    assert pipeline_tags("mnist") == {"dvc.stage": "sweep@digits-random"}
