"""Read every image of many registries at once: fast, bounded, and with failures as data."""

from registry_async._scan.results import (
    ScanError,
    ScannedImage,
    ScannedRepository,
    ScanProgress,
)
from registry_async._scan.scan import AsyncScan

__all__ = ["AsyncScan", "ScanError", "ScanProgress", "ScannedImage", "ScannedRepository"]
