import pytest
from src.errors import InputError
from src.pruning import TOLERANCE, solve


@pytest.mark.parametrize("target", [0.9, 0.5, 0.25, 0.1])
@pytest.mark.parametrize("name, remaining", [
    ("quadratic", lambda rate: (1 - rate) ** 2),
    ("keep", lambda rate: (1 - rate) / 2 + (1 - rate) ** 2 / 2),
    ("steps", lambda rate: 1 - int(rate * 64) / 64)], ids=lambda value: value if isinstance(value, str) else "")
def test_a_rate_meets_the_budget_in_a_few_attempts(name, remaining, target):
    asked = []
    rate = solve(lambda value: asked.append(value) or remaining(value), target)
    assert abs(remaining(rate) - target) <= TOLERANCE
    assert 0 <= rate < 1 and len(asked) <= 8


def test_a_budget_between_two_steps_is_refused_with_the_nearest():
    with pytest.raises(InputError, match=r"no uniform rate leaves 0.5 of the MACs; the nearest leaves 0.6"):
        solve(lambda rate: 0.6 if rate < 0.7 else 0.3, 0.5)
