"""What an examination finds, and the page that says it."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

Verdict = Literal["ok", "note", "fail"]

_MARKS = {"ok": "ok  ", "note": "note", "fail": "FAIL"}


@dataclass(frozen=True)
class Finding:
    """One thing that was looked at.

    Attributes:
        subject: what.
        verdict: ok, note (works, and could be better) or fail (a sweep would not run).
        text: what was found.
        advice: how to better it; None where there is nothing to do.
    """

    subject: str
    verdict: Verdict
    text: str
    advice: str | None = None


@dataclass(frozen=True)
class ComponentSource:
    """What one component's energy is read from.

    Attributes:
        component: cpu, gpu or ram.
        source: as readings name it.
        quality: measured or estimated.
        basis: what the figure rests on.
        update_seconds: how often the source has a new figure; None for at every reading.
    """

    component: str
    source: str
    quality: str
    basis: str
    update_seconds: float | None


@dataclass(frozen=True)
class SelfCheck:
    """The meter held against itself under a known load.

    Attributes:
        short_seconds, short_joules: of a window under load.
        long_seconds, long_joules: of one twice as long.
        proportion: mean power of the long window over that of the short; 1 is right.
        outer_joules: of both windows and the pause between them, by a second meter of its own.
        sum_share: both windows and the pause over that; 1 is right.
        idle_watts, idle_load: mean power and share of busy cores at rest, before the load.
        edge_seconds: what one reading of the meter costs.
        update_seconds: the period of the slowest counter; 0 where all have a figure at each
            reading.
    """

    short_seconds: float
    short_joules: float
    long_seconds: float
    long_joules: float
    outer_joules: float
    sum_share: float
    idle_watts: float
    idle_load: float
    edge_seconds: float
    update_seconds: float = 0.0

    @property
    def proportion(self) -> float:
        """Mean power of the long window over that of the short."""
        return (self.long_joules / self.long_seconds) / (self.short_joules / self.short_seconds)


@dataclass(frozen=True)
class Examination:
    """Everything that was found.

    Attributes:
        versions: of what runs, by name.
        components: where energy figures come from.
        self_check: None where nothing is metered, or the meter failed.
        findings: in words.
    """

    versions: Mapping[str, str]
    components: tuple[ComponentSource, ...] = ()
    self_check: SelfCheck | None = None
    findings: tuple[Finding, ...] = ()

    @property
    def is_fit(self) -> bool:
        """Tell whether nothing was found that would make a sweep fail."""
        return all(finding.verdict != "fail" for finding in self.findings)


def page(found: Examination) -> str:
    """Return the page, in lines of plain text."""
    lines = [" ".join(f"{name} {version}" for name, version in found.versions.items()), ""]
    if found.components:
        lines += [*map(_component, found.components), ""]
    for finding in found.findings:
        lines.append(f"{_MARKS[finding.verdict]}  {finding.subject}: {finding.text}")
        if finding.advice:
            lines.append(f"      {finding.advice}")
    end = "A sweep will run here." if found.is_fit else "A sweep would fail here: see FAIL above."
    lines += ["", end]
    return "\n".join(lines)


def _component(component: ComponentSource) -> str:
    every = component.update_seconds
    interval = f"; a new figure {'at each reading' if every is None else f'every {every:g} s'}"
    return (
        f"{component.component:<4} {component.quality} by {component.source}: "
        f"{component.basis}{interval}"
    )
