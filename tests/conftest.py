"""What all tests share."""

from hypothesis import settings

# A loaded machine is no failure: no claim here is about how long one example takes.
settings.register_profile("skytrail", deadline=None)
settings.load_profile("skytrail")
