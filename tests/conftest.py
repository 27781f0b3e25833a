"""What holds for all tests."""

import os

from hypothesis import HealthCheck, settings

# A test that failed because the machine was busy, or because this run's chances were others than
# the last one's, says nothing of the change it was run for. FEDERATION_EXPLORE=1 looks for more.
settings.register_profile(
    "every-run-the-same",
    deadline=None,
    derandomize="FEDERATION_EXPLORE" not in os.environ,
    suppress_health_check=[HealthCheck.too_slow],
)
settings.load_profile("every-run-the-same")
