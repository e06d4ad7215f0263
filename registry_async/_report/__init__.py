"""Reports of scans: rows below, their columns and views beside each other, the report on top."""

from registry_async._report.counting import ReportBuilder
from registry_async._report.diff import ReportDiff
from registry_async._report.report import ScanReport
from registry_async._report.rows import (
    ImageSummary,
    RegistryTotals,
    ReportedError,
    RepositoryTotals,
)

__all__ = [
    "ImageSummary",
    "RegistryTotals",
    "ReportBuilder",
    "ReportDiff",
    "ReportedError",
    "RepositoryTotals",
    "ScanReport",
]
