import pytest

from orchestrator.settings import Settings


def test_the_size_of_the_feature_cache_is_a_number_of_gib(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("RELEARN_FEATURES_GB", raising=False)
    assert Settings.from_environment().features_gib == 20
    for text, gib in (("0", 0.0), ("0.5", 0.5), ("1e3", 1000.0)):
        monkeypatch.setenv("RELEARN_FEATURES_GB", text)
        assert Settings.from_environment().features_gib == gib


@pytest.mark.parametrize("text", ["", "-1", "many", "nan", "inf"])
def test_an_invalid_size_of_the_feature_cache_is_refused(monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    monkeypatch.setenv("RELEARN_FEATURES_GB", text)
    with pytest.raises(ValueError, match="RELEARN_FEATURES_GB must be a number >= 0, got "):
        Settings.from_environment()
