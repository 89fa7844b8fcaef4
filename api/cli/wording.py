"""Words that the live view and the tables share."""


def of_last(generation: int, generations: int | None) -> str:
    """Names a generation by its index, from 0 as in specs and result rows, and the index of the last: `5 of 5`.

    `generations` is how many the arm has, counting generation 0; None, where it is not known, leaves out the last.
    """
    return str(generation) if generations is None else f"{generation} of {generations - 1}"
