"""mail2sms: a daemon that bridges email and SMS."""

__version__ = "0.1.0"
