"""Rules: may it go, now? One module each, pure; `accept` asks them all and returns all their refusals together."""
