"""What is private of Ray and used all the same: it is there, and does what it is used for."""

import inspect

import pytest

from greensweep.executors.ray_internals import quiet_raylets


def test_ray_prints_what_raylets_say_by_the_function_that_is_replaced(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    worker = pytest.importorskip("ray._private.worker", reason="Ray is not installed")
    monkeypatch.setattr(worker, "print_to_stdstream", worker.print_to_stdstream)
    assert "print_to_stdstream(" in inspect.getsource(worker.listen_error_messages)
    quiet_raylets()
    said = {"lines": ["A worker died"], "pid": "raylet", "is_err": False}
    worker.print_to_stdstream(said, ignore_prefix=False)
    assert capsys.readouterr().out == ""
