"""What a terminal would obey is removed; everything else stays as it is."""

import pytest

from orchestrator.printable import printable


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("\x1b[31mred\x1b[0m", "red"),
        ("\x1b]0;title\x07rest", "rest"),
        ("\x1b]8;;http://x\x1b\\link\x1b]8;;\x1b\\", "link"),
        ("\x1bcreset", "reset"),
        ("bell\x07 nul\x00 del\x7f c1\x9b", "bell nul del c1"),
        ("one\ttwo\nthree", "one\ttwo\nthree"),
        ("gpj\u202egnp.exe", "gpjgnp.exe"),
        ("[seed0] [/old] :cat: café 猫 ± 100 %", "[seed0] [/old] :cat: café 猫 ± 100 %"),
    ],
)
def test_only_what_a_terminal_obeys_is_removed(text: str, shown: str) -> None:
    assert printable(text) == shown
