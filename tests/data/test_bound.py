import pytest

from medvol.data.bound import parse_size, size_bound


@pytest.mark.parametrize(
    ("text", "size"),
    [
        ("50GB", 50 * 10**9),
        ("50 GiB", 50 * 2**30),
        ("1.5t", 1500 * 10**9),
        ("10B", 10),
        ("2kb", 2000),
        ("3MIB", 3 * 2**20),
    ],
)
def test_sizes(text, size):
    assert parse_size(text) == size


@pytest.mark.parametrize("text", ["", "GB", "10", "-1GB", "5 PB", "1,5GB", "0", "0.1", "5iB", "nan"])
def test_what_is_no_size(text):
    with pytest.raises(ValueError, match=r"a size must be .*; found .*; write 50GB"):
        parse_size(text)


def test_the_bound_comes_from_the_environment(monkeypatch):
    monkeypatch.delenv("MEDVOL_CACHE_SIZE", raising=False)
    assert size_bound() is None
    monkeypatch.setenv("MEDVOL_CACHE_SIZE", "")
    assert size_bound() is None
    monkeypatch.setenv("MEDVOL_CACHE_SIZE", " 1kB ")
    assert size_bound() == 1000
    monkeypatch.setenv("MEDVOL_CACHE_SIZE", "much")
    with pytest.raises(ValueError, match="variable MEDVOL_CACHE_SIZE, a size must be"):
        size_bound()
