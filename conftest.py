"""What every test of the repository shares: how Hypothesis behaves here, and what Ctrl-C does."""

import signal

from hypothesis import settings

# A slow machine is no failure, and a run that failed must fail again when it is looked at.
settings.register_profile("house", deadline=None, derandomize=True)
settings.load_profile("house")

# A shell starts what it runs in the background deaf to Ctrl-C, and our programs would inherit that.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)
