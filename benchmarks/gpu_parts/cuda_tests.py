"""The tests of the suite that compute on a GPU."""

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from xml.etree import ElementTree

from figures import Figure

from gpu_parts.session import Session

_PROJECT = Path(__file__).resolve().parents[2]


def measure(session: Session) -> Iterator[Figure]:
    """Run the tests marked `cuda`, and count those that fail and that run."""
    files = [
        str(file)
        for file in sorted((_PROJECT / "tests").rglob("test_*.py"))
        if "mark.cuda" in file.read_text(encoding="utf-8")
    ]
    report = Path("cuda_tests.xml").resolve()
    options = ["-q", "-m", "cuda", "-n", "0", "-p", "no:cacheprovider", f"--junitxml={report}"]
    ended = subprocess.run(
        [sys.executable, "-m", "pytest", *options, *files],
        cwd=_PROJECT,
        capture_output=True,
        text=True,
        check=False,
    )
    if not report.is_file():
        raise RuntimeError(f"pytest ended with status {ended.returncode}: {ended.stdout[-500:]}")
    cases = list(ElementTree.parse(report).iter("testcase"))
    failed = {
        str(case.get("name")): (fault.get("message") or "").splitlines()[:3]
        for case in cases
        for fault in (*case.iter("failure"), *case.iter("error"))
    }
    ran = [case for case in cases if case.find("skipped") is None]
    details = {"failed": failed, "skipped": len(cases) - len(ran), "files": len(files)}
    yield Figure("cuda_tests", "pytest -m cuda", "tests that ran", len(ran), unit="")
    if ran:
        yield Figure(
            "cuda_tests",
            "pytest -m cuda",
            "tests that failed",
            len(failed),
            unit="",
            at_most=0,
            details=details,
        )
