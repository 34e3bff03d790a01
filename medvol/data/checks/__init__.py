"""Checks of a manifest and of every file that it names."""

from .finding import KINDS, Finding, Problem
from .report import Report
from .sums import fill_checksums
from .verify import verify

__all__ = ["KINDS", "Finding", "Problem", "Report", "fill_checksums", "verify"]
