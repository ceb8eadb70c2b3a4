"""Reports: pages of their own about scored rows or images, for people who have no Python."""

from __future__ import annotations

from vae_anomaly.report.builder import MAX_COMPARED, MAX_PICTURES, MAX_SORTED, MAX_TOP, TOP, ReportBuilder
from vae_anomaly.report.contents import Compared, ComparedMethod, Contents, Reading
from vae_anomaly.report.document import Report

__all__ = [
    "MAX_COMPARED",
    "MAX_PICTURES",
    "MAX_SORTED",
    "MAX_TOP",
    "TOP",
    "Compared",
    "ComparedMethod",
    "Contents",
    "Reading",
    "Report",
    "ReportBuilder",
]
