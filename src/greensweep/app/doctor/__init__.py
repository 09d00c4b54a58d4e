"""Is this machine fit for a sweep, and how far can its joules be trusted?"""

from greensweep.app.doctor.examine import examine
from greensweep.app.doctor.findings import Examination, Finding, page

__all__ = ["Examination", "Finding", "examine", "page"]
