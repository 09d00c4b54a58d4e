"""Fixtures of the searches' tests."""

import pytest
from optuna.storages._rdb.storage import _VersionManager


@pytest.fixture(autouse=True)
def known_schema(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let Optuna trust the version of the files it opens: to check it takes longer than a test."""
    monkeypatch.setattr(_VersionManager, "check_table_schema_compatibility", lambda self: None)
