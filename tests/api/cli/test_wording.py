from api.cli.wording import of_last


def test_generations_are_named_by_their_index_and_that_of_the_last() -> None:
    assert of_last(0, 6) == "0 of 5"
    assert of_last(5, 6) == "5 of 5"
    assert of_last(3, None) == "3"
