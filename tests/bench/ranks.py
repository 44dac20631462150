"""One word for “95 %” in all that is measured here."""

import math


def percentile(values: list[float], share: float) -> float:
    """The value that `share` of all do not exceed (nearest rank)."""
    return sorted(values)[math.ceil(share * len(values)) - 1]
