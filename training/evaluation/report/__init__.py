"""The report of runs as one HTML file: tables, video walls, case sheets, plots over frames."""

from .cli import add_report
from .write import ReportOptions, write_report

__all__ = ["ReportOptions", "add_report", "write_report"]
