from __future__ import annotations

import importlib
import sys
from pathlib import Path

import pytest

from medvol.data import sources
from medvol.data.cache import _source, transform_key

FILES = {
    "own_pack/__init__.py": "",
    "own_pack/inner/__init__.py": "",
    "own_pack/inner/mine.py": (
        "from own_bases import Base\n"
        "from ..settings import LIMIT\n"
        "class Mine(Base):\n"
        "    def __call__(self, x):\n"
        "        import own_lazy\n"
        "        return own_lazy.work(x) * LIMIT\n"
    ),
    "own_pack/inner/beside.py": "x = 1\n",
    "own_pack/settings.py": "LIMIT = 1\n",
    "own_pack/stranger.py": "x = 1\n",
    "own_bases.py": "import own_deep\nclass Base: pass\n",
    "own_deep.py": "x = 1\n",
    "own_lazy.py": "def work(x): return x\n",
}


@pytest.fixture
def key(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Write the files and return a function that gives the key of a fresh import of them."""
    for name, text in FILES.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text, encoding="utf-8")
    monkeypatch.syspath_prepend(tmp_path)

    def forget() -> None:
        for name in [name for name in sys.modules if name.startswith("own_")]:
            del sys.modules[name]
        importlib.invalidate_caches()
        for cached in (sources._is_installed, sources._version, _source):
            cached.cache_clear()

    def fresh() -> str:
        forget()
        return transform_key([importlib.import_module("own_pack.inner.mine").Mine()])

    yield fresh
    forget()


@pytest.mark.parametrize(
    "edited", ["own_pack/inner/mine.py", "own_pack/inner/beside.py", "own_pack/settings.py", "own_bases.py",
               "own_deep.py", "own_lazy.py"],
)  # fmt: skip
def test_an_edit_anywhere_below_is_another_transform(key, edited: str, tmp_path: Path) -> None:
    before = key()
    assert key() == before
    with (tmp_path / edited).open("a") as file:
        file.write("y = 2\n")
    assert key() != before


def test_what_is_not_imported_does_not_count(key, tmp_path: Path) -> None:
    before = key()
    (tmp_path / "own_pack/stranger.py").write_text("x = 2\n")
    assert key() == before


def test_a_module_counts_before_and_after_it_is_loaded(key) -> None:
    before = key()
    importlib.import_module("own_lazy")
    _source.cache_clear()
    assert transform_key([sys.modules["own_pack.inner.mine"].Mine()]) == before


def test_an_installed_package_counts_with_its_version(monkeypatch: pytest.MonkeyPatch) -> None:
    def key() -> str:
        return sources.source_hash(["medvol.data.cache"], ["monai", "torch", "numpy"])

    before = key()
    monkeypatch.setattr(sources, "_version", lambda top: "version 0" if top == "platformdirs" else f"version 1 {top}")
    first = key()
    monkeypatch.setattr(sources, "_version", lambda top: "version 2" if top == "platformdirs" else f"version 1 {top}")
    assert len({before, first, key()}) == 3


def test_nothing_is_imported_for_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "own_side").mkdir()
    (tmp_path / "own_side" / "__init__.py").write_text("raise SystemExit('imported')")
    (tmp_path / "own_side" / "sub.py").write_text("x = 1")
    (tmp_path / "own_uses.py").write_text("def f():\n    import own_side.sub\n")
    monkeypatch.syspath_prepend(tmp_path)
    before = sources.source_hash(["own_uses"], [])
    (tmp_path / "own_side" / "sub.py").write_text("x = 2")
    assert sources.source_hash(["own_uses"], []) != before
    assert "own_side" not in sys.modules


def test_a_text_that_cannot_be_read_as_python_ends_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "own_bad.py").write_text("def (")
    monkeypatch.syspath_prepend(tmp_path)
    assert len(sources.source_hash(["own_bad"], [])) == 64
