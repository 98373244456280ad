"""One self-contained HTML page that shows what a training run learned."""

from seesay.report.credits import Credit, read_credits
from seesay.report.page import write_report

__all__ = ["Credit", "read_credits", "write_report"]
