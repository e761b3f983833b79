"""Intake: how an email becomes a submission or a refusal."""
