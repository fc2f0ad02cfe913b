"""What decides on chain and what goes on the wire loads no pictures; the spectrum loads no floats either."""

import subprocess
import sys

import pytest

PICTURES = ("PIL", "reedsolo", "wnsp.physics", "wnsp.rendering", "wnsp.optical")


@pytest.mark.parametrize(
    ("modules", "unwanted"),
    [("wnsp.spectrum", ("numpy", *PICTURES)), ("wnsp.frame, wnsp.fragments, wnsp.streaming", PICTURES)],
    ids=["spectrum", "codec"],
)
def test_nothing_of_rendering_is_loaded_by_the(modules: str, unwanted: tuple[str, ...]) -> None:
    program = f"import sys, {modules}; print(*[name for name in {unwanted!r} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == ""
