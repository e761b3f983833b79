"""mail2sms.yaml: read as text with places, typed by the schema, checked as a whole. Only process modules read it."""

from mail2sms.config.check import check, load
from mail2sms.config.findings import ConfigInvalid, Finding, Report, Stage, render
from mail2sms.config.schema import Settings

__all__ = [
    "ConfigInvalid",
    "Finding",
    "Report",
    "Settings",
    "Stage",
    "check",
    "load",
    "render",
]
