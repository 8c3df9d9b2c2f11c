"""What every test of the repository shares: how Hypothesis behaves here."""

from hypothesis import settings

# A slow machine is no failure, and a run that failed must fail again when it is looked at.
settings.register_profile("house", deadline=None, derandomize=True)
settings.load_profile("house")
