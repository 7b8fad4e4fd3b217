"""`poseterior.distributions` offers every public class, and loads none before it is asked for."""

import importlib
import subprocess
import sys

import pytest

from poseterior import distributions


@pytest.mark.parametrize("name", distributions.__all__)
def test_names_are_those_of_the_modules(name):
    value = getattr(distributions, name)
    assert value is getattr(importlib.import_module(value.__module__), name)
    assert value.__module__.startswith("poseterior.distributions.")
    assert name in dir(distributions)


def test_every_distribution_has_a_name():
    public = {
        name
        for module in ("base", "delta", "empirical", "flow", "independent", "mixture", "rotations", "seeded")
        for name in importlib.import_module(f"poseterior.distributions.{module}").__all__
        if name.endswith("Distribution")
    }
    assert public <= set(distributions.__all__)


def test_unknown_names():
    with pytest.raises(AttributeError, match=r"^module 'poseterior.distributions' has no attribute 'Gaussian'$"):
        _ = distributions.Gaussian


def test_importing_the_room_loads_nothing_heavy():
    code = "import sys, poseterior.distributions; print('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "False\n"
