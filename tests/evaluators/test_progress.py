import io

from evaluators.progress import Bar, silent


class Stream(io.StringIO):
    def __init__(self, terminal: bool) -> None:
        super().__init__()
        self._terminal = terminal

    def isatty(self) -> bool:
        return self._terminal


class Clock:
    def __init__(self) -> None:
        self.at = 100.0

    def __call__(self) -> float:
        return self.at


def test_silence() -> None:
    silent("digits", 1, 2)


def test_on_a_terminal_one_line_is_written_over_and_ended_when_all_is_done() -> None:
    stream, clock = Stream(terminal=True), Clock()
    bar = Bar(stream, clock)
    for clock.at, done in ((100.0, 0), (100.1, 1), (110.0, 500), (120.0, 1000)):
        bar("digits", done, 1000)
    assert stream.getvalue().split("\r\x1b[K") == [
        "",
        "░" * 30 + " digits: 0 of 1,000",
        "█" * 15 + "░" * 15 + " digits: 500 of 1,000, 10 s left",
        "█" * 30 + " digits: 1,000 of 1,000\n",
    ]


def test_without_a_terminal_a_line_comes_every_ten_seconds() -> None:
    stream, clock = Stream(terminal=False), Clock()
    bar = Bar(stream, clock)
    for second in range(0, 26, 5):
        clock.at = 100.0 + second
        bar("digits", second, 25)
    assert stream.getvalue() == "digits: 10 of 25, 15 s left\ndigits: 20 of 25, 5 s left\n"


def test_the_same_work_from_the_start_again_has_its_own_pace() -> None:
    """The same work starts again when the test images of a data set follow its training images."""
    stream, clock = Stream(terminal=True), Clock()
    bar = Bar(stream, clock)
    for clock.at, done, total in ((0.0, 0, 10), (1000.0, 10, 10), (1001.0, 1, 10), (1002.0, 2, 10)):
        bar("digits", done, total)
    assert stream.getvalue().split("digits: ")[-1] == "2 of 10, 4 s left"


def test_a_bar_that_is_left_unfinished_gives_the_line_back() -> None:
    stream = Stream(terminal=True)
    bar = Bar(stream, Clock())
    bar.close()
    assert stream.getvalue() == ""
    bar("digits", 1, 2)
    bar.close()
    bar.close()
    assert stream.getvalue() == "\r\x1b[K" + "█" * 15 + "░" * 15 + " digits: 1 of 2\n"
    bar("digits", 2, 2)
    bar.close()
    assert stream.getvalue().endswith("digits: 2 of 2\n")


def test_nothing_to_do_is_all_done() -> None:
    stream = Stream(terminal=True)
    Bar(stream, Clock())("digits", 0, 0)
    assert stream.getvalue() == "\r\x1b[K" + "░" * 30 + " digits: 0 of 0\n"
