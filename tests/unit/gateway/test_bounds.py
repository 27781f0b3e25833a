"""What requests are held to is what the settings say."""

from gateway.bounds import Bounds
from gateway.relay_settings import Limits, Timeouts


def test_each_bound_is_the_setting_of_its_name() -> None:
    seconds = {name: 100.0 + n for n, name in enumerate(Timeouts.model_fields)}
    sizes = {name: 2000 + n for n, name in enumerate(Limits.model_fields)}
    settings = seconds | sizes
    timeouts, limits = Timeouts.model_construct(**seconds), Limits.model_construct(**sizes)
    bounds = Bounds(timeouts, limits)
    found = {name: getattr(bounds, name) for name in Bounds.__slots__}
    assert found == {name: settings[name] for name in found}
