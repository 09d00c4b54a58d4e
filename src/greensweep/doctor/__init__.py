"""Is this machine fit for a sweep, and how far can its joules be trusted?"""

from greensweep.doctor.examine import examine
from greensweep.doctor.findings import Examination, Finding
from greensweep.doctor.page import page

__all__ = ["Examination", "Finding", "examine", "page"]
