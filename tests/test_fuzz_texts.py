"""A small version of the proof `inputs` for numbers and texts."""

from tests.fuzz_texts import fuzz


def test_generated_texts_are_read_or_refused() -> None:
    """Two thousand of them, none over a second."""
    assert fuzz(2000, 7).max_cpu_s < 1.0
