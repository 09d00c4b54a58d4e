"""An examination on one page."""

from greensweep.app.doctor.findings import ComponentSource, Examination

_MARKS = {"ok": "ok  ", "note": "note", "fail": "FAIL"}


def page(found: Examination) -> str:
    """Return the page, in lines of plain text."""
    lines = [" ".join(f"{name} {version}" for name, version in found.versions.items()), ""]
    for component in found.components:
        lines.append(_component(component))
    if found.components:
        lines.append("")
    for finding in found.findings:
        lines.append(f"{_MARKS[finding.verdict]}  {finding.subject}: {finding.text}")
        if finding.advice:
            lines.append(f"      {finding.advice}")
    lines.append("")
    lines.append(
        "A sweep will run here." if found.is_fit else "A sweep would fail here: see FAIL above."
    )
    return "\n".join(lines)


def _component(component: ComponentSource) -> str:
    every = component.update_seconds
    interval = f"; a new figure {'at each reading' if every is None else f'every {every:g} s'}"
    return (
        f"{component.component:<4} {component.quality} by {component.source}: "
        f"{component.basis}{interval}"
    )
