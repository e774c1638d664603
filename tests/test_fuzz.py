"""Five hundred random calls; `python -m tests.fuzz --cases 20000` makes more."""

from __future__ import annotations

import pytest

from tests.fuzz import run_case


@pytest.mark.parametrize("block", range(10))
def test_random_calls(block: int) -> None:
    for number in range(50 * block, 50 * (block + 1)):
        try:
            run_case(number)
        except Exception as error:
            raise AssertionError(f"case {number}: {type(error).__name__}: {error}") from error
