"""What comes back from the phone, and what became of messages, told to people: a loop that claims due
notices, composes them, and delivers them by email or to a chat hook.
"""
