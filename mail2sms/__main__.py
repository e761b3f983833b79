"""`python -m mail2sms VERB` is `mail2sms VERB`."""

from mail2sms.cli.main import main

main()
