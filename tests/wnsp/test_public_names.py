"""The names that the seed publishes, and what importing the package costs."""

import json
import subprocess
import sys

import pytest

import wnsp


@pytest.mark.parametrize(
    "name", ["WNSPWavelength", "WNSPFrame", "encode_frame", "decode_frame", "visualize_spectrum"]
)
def test_the_public_names_can_be_imported_from_the_package(name: str) -> None:
    assert getattr(wnsp, name).__name__ == name


def test_other_names_are_not_there() -> None:
    with pytest.raises(AttributeError):
        wnsp.nothing  # noqa: B018


def test_consensus_pays_for_the_spectrum_alone() -> None:
    program = "import json, sys, wnsp.spectrum; print(json.dumps(sorted(sys.modules)))"
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=True
    )
    modules = set(json.loads(done.stdout))
    assert {name for name in modules if name.startswith("wnsp")} == {"wnsp", "wnsp.spectrum"}
    assert not modules & {"numpy", "numba", "PIL", "nacl", "msgspec"}


def test_frames_need_no_numba() -> None:
    program = "import json, sys, wnsp.streaming, wnsp.envelope, wnsp.fragments; print(json.dumps(sorted(sys.modules)))"
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=True
    )
    assert not set(json.loads(done.stdout)) & {"numba", "PIL", "trio"}
