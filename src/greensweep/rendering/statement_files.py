"""A carbon statement in Markdown and LaTeX, and its files."""

import re
from pathlib import Path

from greensweep.analysis.statement import Account, Statement
from greensweep.files import write_text
from greensweep.rendering.references import bibtex, citation_keys
from greensweep.rendering.statement import HEADER, place_of, rows, sentences

# What LaTeX would take for its own, or not find in its fonts.
_LATEX = {
    "\\": r"\textbackslash{}", "{": r"\{", "}": r"\}", "$": r"\$", "&": r"\&", "#": r"\#",
    "^": r"\textasciicircum{}", "_": r"\_", "~": r"\textasciitilde{}", "%": r"\%",
    "<": r"\textless{}", ">": r"\textgreater{}", "|": r"\textbar{}", '"': r"\textquotedbl{}",
    "±": r"$\pm$", "µ": r"$\mu$", "®": r"\textregistered{}", "–": "--", "™": r"\texttrademark{}",
}  # fmt: skip


def write_statement(folder: Path, statement: Statement, card: str) -> list[Path]:
    """Write statement.md, statement.tex, statement.bib and model_card.yaml; return their paths.

    Args:
        card: as `model_card` returns it.

    Raises:
        OSError: the folder cannot be written.
    """
    folder.mkdir(parents=True, exist_ok=True)
    texts = {
        "statement.md": markdown(statement),
        "statement.tex": latex(statement),
        "statement.bib": bibtex(statement, escape_latex),
        "model_card.yaml": card,
    }
    for name, text in texts.items():
        write_text(folder / name, text)
    return [folder / name for name in texts]


def markdown(statement: Statement) -> str:
    """Return paragraphs and tables in Markdown."""
    parts = [*map(_escape_markdown, sentences(statement))]
    for account in statement.accounts:
        if len(statement.accounts) > 1:
            parts.append(f"**{_escape_markdown(place_of(account))}**")
        lines = [[*HEADER], ["---", *["---:"] * (len(HEADER) - 1)]]
        lines += [[*map(_escape_markdown, row)] for row in rows(account)]
        parts.append("\n".join(f"| {' | '.join(line)} |" for line in lines))
    return "\n\n".join(parts) + "\n"


def latex(statement: Statement) -> str:
    """Return paragraphs and tables in LaTeX that needs no package, with citations."""
    keys = ",".join(citation_keys(statement))
    paragraphs = [escape_latex(each) for each in sentences(statement)]
    paragraphs[-1] += f" Figures were recorded and stated as described in \\cite{{{keys}}}."
    return "\n\n".join(
        [*paragraphs, *(_latex_table(each, statement) for each in statement.accounts)]
    )


def _latex_table(account: Account, statement: Statement) -> str:
    caption = "Energy and emissions"
    if len(statement.accounts) > 1:
        caption += f" on {place_of(account)}"
    body = [" & ".join(map(escape_latex, row)) + r" \\" for row in [HEADER, *rows(account)]]
    total = next(place for place, row in enumerate(body) if row.startswith("Total"))
    lines = [body[0], r"\hline", *body[1:total], r"\hline", *body[total:]]
    return "\n".join(
        [
            r"\begin{table}[htb]",
            r"\centering",
            f"\\caption{{{escape_latex(caption)}}}",
            f"\\begin{{tabular}}{{l{'r' * (len(HEADER) - 1)}}}",
            r"\hline",
            *lines,
            r"\hline",
            r"\end{tabular}",
            r"\end{table}",
            "",
        ]
    )


def escape_latex(text: str) -> str:
    r"""Return a text as LaTeX sets it.

    >>> escape_latex("12 ± 1 % of R&D_1 is 3 g CO2e")
    '12 $\\pm$ 1 \\% of R\\&D\\_1 is 3 g CO\\textsubscript{2}e'
    """
    escaped = "".join(_LATEX.get(each, each) for each in " ".join(text.split()))
    return escaped.replace("CO2e", r"CO\textsubscript{2}e")


def _escape_markdown(text: str) -> str:
    return re.sub(r"([\\`*<|\[\]])", r"\\\1", " ".join(text.split()))
