"""Whole units by weights, so that none is lost."""

from collections.abc import Sequence


def largest_remainder(units: int, weights: Sequence[int]) -> tuple[int, ...]:
    """`units` (>= 0) in proportion to `weights` (>= 0, not all 0), one part for each; the parts sum to `units`.

    Every part is its quota rounded down, and what is left goes by one unit to the greatest remainders, of equal ones to
    the first. So a part is less than one unit away from its quota, and at most its weight where `units` <= Σ weights.
    Source: Hamilton's method of apportionment.
    """
    total = sum(weights)
    quotas = [divmod(units * weight, total) for weight in weights]
    parts = [quota for quota, _ in quotas]
    by_remainder = sorted(range(len(quotas)), key=lambda place: (-quotas[place][1], place))
    for place in by_remainder[: units - sum(parts)]:
        parts[place] += 1
    return tuple(parts)
