"""What goes up to the hub: exactly the files of the package, once per version. The hub here is a fake."""

from __future__ import annotations

import hashlib
import inspect
import shutil
import sys
from pathlib import Path
from types import SimpleNamespace

import huggingface_hub
import packages
import pytest
from monai.bundle import download

from medvol.__main__ import main
from medvol.bundles.fetching.push import push

FILES = packages.members()
UPLOADED = sorted(FILES)


REAL = huggingface_hub.HfApi


class FakeHub:
    """One repository, as ``HfApi`` of huggingface_hub shows it; ``calls`` lists what was asked, in order."""

    def __init__(self) -> None:
        self.calls: list[str] = []
        self.files: dict[str, bytes] = {".gitattributes": b"*.pt filter=lfs\n"}
        self.tags: dict[str, dict[str, bytes]] = {}
        self.private: bool | None = None
        self.fails: dict[str, Exception] = {}

    def __call__(self, token: str) -> FakeHub:
        assert token == "secret"
        return self

    def _called(self, name: str) -> None:
        self.calls.append(name)
        if name in self.fails:
            raise self.fails[name]

    def create_repo(self, repo_id: str, *, private: bool, repo_type: str, exist_ok: bool) -> str:
        self._called("create_repo")
        assert (repo_type, exist_ok) == ("model", True)
        self.private = private if self.private is None else self.private
        return f"https://huggingface.co/{repo_id}"

    def repo_info(self, repo_id: str, *, repo_type: str) -> SimpleNamespace:
        self._called("repo_info")
        return SimpleNamespace(private=self.private)

    def list_repo_refs(self, repo_id: str, *, repo_type: str) -> SimpleNamespace:
        self._called("list_repo_refs")
        return SimpleNamespace(tags=[SimpleNamespace(name=name) for name in self.tags], branches=[])

    def list_repo_files(self, repo_id: str, *, repo_type: str) -> list[str]:
        self._called("list_repo_files")
        return sorted(self.files)

    def list_repo_tree(self, repo_id: str, *, recursive: bool, revision: str, repo_type: str) -> list[SimpleNamespace]:
        self._called("list_repo_tree")
        entries = [SimpleNamespace(path="models")]  # a folder
        for path, content in self.tags[revision].items():
            blob = hashlib.sha1(b"blob %d\0" % len(content) + content).hexdigest()
            lfs = SimpleNamespace(sha256=packages.sha256(content)) if path.endswith(".pt") else None
            entries.append(SimpleNamespace(path=path, blob_id="pointer" if lfs else blob, lfs=lfs))
        return entries

    def create_commit(self, repo_id: str, operations: list, *, repo_type: str, commit_message: str) -> SimpleNamespace:
        self._called("create_commit")
        for operation in operations:
            with operation.as_file() as stream:
                self.files[operation.path_in_repo] = stream.read()
        return SimpleNamespace(oid="c0ffee")

    def create_tag(self, repo_id: str, *, tag: str, revision: str, repo_type: str) -> None:
        self._called("create_tag")
        assert revision == "c0ffee"
        self.tags[tag] = dict(self.files)


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch) -> FakeHub:
    hub = FakeHub()
    monkeypatch.setattr(huggingface_hub, "HfApi", hub)
    monkeypatch.setattr(huggingface_hub, "get_token", lambda: "secret")
    monkeypatch.delenv("HF_ENDPOINT", raising=False)
    return hub


def package(tmp_path: Path, files: dict[str, bytes] = FILES) -> Path:
    (tmp_path / "cpc3d-0.1.0.zip").write_bytes(packages.zipped(files))
    return tmp_path / "cpc3d-0.1.0.zip"


def test_the_fake_takes_what_the_library_takes() -> None:
    for name, method in inspect.getmembers(FakeHub, inspect.isfunction):
        if not name.startswith("_"):
            real = inspect.signature(getattr(REAL, name)).parameters
            assert set(inspect.signature(method).parameters) <= set(real), name


def test_exactly_the_packages_files_go_up(hub: FakeHub, tmp_path: Path) -> None:
    (tmp_path / "last.pt").write_bytes(b"never")
    pushed = push(package(tmp_path), "me/cpc3d")
    assert pushed.files == UPLOADED
    assert pushed.address == "https://huggingface.co/me/cpc3d/tree/0.1.0"
    assert hub.calls == [
        "create_repo", "repo_info", "list_repo_refs", "list_repo_files", "create_commit", "create_tag"
    ]  # fmt: skip
    first = hub.tags["0.1.0"].pop("README.md").decode()
    assert first.startswith("---\nlicense: other\nlibrary_name: monai\n")
    assert first.endswith(f"---\n\n{packages.PAGE}")
    del hub.tags["0.1.0"][".gitattributes"]
    assert hub.tags["0.1.0"] == {name: content for name, content in FILES.items() if name != "README.md"}
    assert hub.private is True


def test_the_same_again_uploads_nothing(hub: FakeHub, tmp_path: Path) -> None:
    first = push(package(tmp_path), "me/cpc3d")
    hub.calls.clear()
    assert push(package(tmp_path), "me/cpc3d") == first
    assert "create_commit" not in hub.calls
    assert "create_tag" not in hub.calls


@pytest.mark.parametrize("change", [{"models/model.pt": packages.weights(3.0)}, {"train.json": b"[]"}])
def test_a_published_version_is_never_moved(hub: FakeHub, tmp_path: Path, change: dict[str, bytes]) -> None:
    push(package(tmp_path), "me/cpc3d")
    published = dict(hub.tags["0.1.0"])
    change = change if "train.json" not in change else {"train.json": b'{"a": 1}', "configs/train.json": b'{"a": 1}'}
    with pytest.raises(
        ValueError, match=rf"must stay as it was published; found .*{sorted(change)[0]}.*raise 'version'"
    ):
        push(package(tmp_path, FILES | change), "me/cpc3d")
    assert hub.tags == {"0.1.0": published}
    assert hub.files == published


def test_a_new_version_is_a_new_tag(hub: FakeHub, tmp_path: Path) -> None:
    push(package(tmp_path), "me/cpc3d")
    push(package(tmp_path, packages.members("0.2.0")), "me/cpc3d")
    assert sorted(hub.tags) == ["0.1.0", "0.2.0"]


def test_a_repository_with_other_files_is_left_alone(hub: FakeHub, tmp_path: Path) -> None:
    hub.files["thesis.pdf"] = b"x"
    with pytest.raises(ValueError, match=r"nothing but this bundle; found thesis\.pdf"):
        push(package(tmp_path), "me/cpc3d")
    assert "create_commit" not in hub.calls


@pytest.mark.parametrize("private", [True, False])
def test_nothing_becomes_public_by_mistake(hub: FakeHub, tmp_path: Path, private: bool) -> None:
    hub.private = not private
    with pytest.raises(ValueError, match=r"must be (private|public), as you asked.*nothing was uploaded"):
        push(package(tmp_path), "me/cpc3d", private=private)
    assert "create_commit" not in hub.calls


def test_a_dry_run_asks_nobody(hub: FakeHub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "huggingface_hub", None)
    pushed = push(package(tmp_path), "me/cpc3d", dry_run=True)
    assert pushed.files == UPLOADED
    assert pushed.address == "https://huggingface.co/me/cpc3d/tree/0.1.0"
    assert hub.calls == []


def test_without_the_library_or_a_token(hub: FakeHub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(huggingface_hub, "get_token", lambda: None)
    with pytest.raises(ValueError, match=r"no token .*hf auth login.*HF_TOKEN"):
        push(package(tmp_path), "me/cpc3d")
    monkeypatch.setitem(sys.modules, "huggingface_hub", None)
    with pytest.raises(ImportError, match=r"'\.\[export\]'"):
        push(package(tmp_path), "me/cpc3d")
    assert hub.calls == []


@pytest.mark.parametrize(
    "name", ["cpc3d", "a/b/c", "/b", "a/", "a b/c", "../c", "a/b--c", "a/-b", "https://h/a/b", "a/b.", "a/b.git"]
)
def test_names_that_are_not_owner_and_name(hub: FakeHub, tmp_path: Path, name: str) -> None:
    with pytest.raises(ValueError, match="owner/name"):
        push(package(tmp_path), name)
    assert hub.calls == []


@pytest.mark.parametrize(
    ("lost", "says"),
    [
        ({"models/passport.json": None}, r"must hold models/passport\.json; found none"),
        ({"docs/README.md": None}, r"must hold docs/README\.md; found none"),
        ({"models/last.py": b"x"}, r"no programs; found cpc3d/models/last\.py"),
        ({"eval/latest.txt": b"x"}, r"found cpc3d/eval/latest\.txt"),
        ({"LICENSE": None}, r"found no LICENSE"),
    ],
)
def test_a_package_that_is_not_whole(hub: FakeHub, tmp_path: Path, lost: dict, says: str) -> None:
    files = {name: content for name, content in (FILES | lost).items() if content is not None}
    with pytest.raises(ValueError, match=says):
        push(package(tmp_path, files), "me/cpc3d")
    with pytest.raises(FileNotFoundError, match="medvol pack"):
        push(tmp_path / "no.zip", "me/cpc3d")
    assert hub.calls == []


def answer(status: int) -> Exception:
    error = RuntimeError(f"{status} Client Error")
    error.response = SimpleNamespace(status_code=status)
    return error


@pytest.mark.parametrize(
    ("error", "says"),
    [
        (answer(401), "the answer 401; the token is not valid"),
        (answer(403), "make one with write access"),
        (answer(404), "correct the name"),
        (answer(409), "push again"),
        (answer(500), "the answer 500; check the connection"),
        (ConnectionError("no route to host"), "ConnectionError: no route to host; check the connection"),
    ],
)
def test_what_the_hub_answers(hub: FakeHub, tmp_path: Path, error: Exception, says: str) -> None:
    hub.fails["create_commit"] = error
    with pytest.raises(OSError, match=says):
        push(package(tmp_path), "me/cpc3d")
    assert hub.tags == {}


def test_a_push_that_stopped_before_its_tag_is_finished_by_the_next(hub: FakeHub, tmp_path: Path) -> None:
    hub.fails["create_tag"] = ConnectionError("gone")
    with pytest.raises(OSError, match="push again"):
        push(package(tmp_path), "me/cpc3d")
    hub.fails.clear()
    push(package(tmp_path), "me/cpc3d")
    assert set(hub.tags) == {"0.1.0"}


def test_the_command(hub: FakeHub, tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    assert main(["push", str(package(tmp_path)), "me/cpc3d", "--dry_run"]) == 0
    assert capsys.readouterr().out.splitlines() == [*UPLOADED, "https://huggingface.co/me/cpc3d/tree/0.1.0"]
    assert main(["push", str(package(tmp_path)), "cpc3d"]) == 2


def test_monai_downloads_what_was_pushed(hub: FakeHub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    metadata = '{"version": "0.1.0", "monai_version": "1.6.1"}'
    push(package(tmp_path, packages.members(metadata_json=metadata)), "me/cpc3d")

    def snapshot(repo_id: str, revision: str, local_dir: str) -> None:
        for name, content in hub.tags[revision].items():
            (Path(local_dir) / name).parent.mkdir(parents=True, exist_ok=True)
            (Path(local_dir) / name).write_bytes(content)

    monkeypatch.setattr(huggingface_hub, "snapshot_download", snapshot)
    monkeypatch.setattr(
        huggingface_hub, "list_repo_refs", lambda repo_id: hub.list_repo_refs(repo_id, repo_type="model")
    )
    download("cpc3d", source="huggingface_hub", repo="me/cpc3d", bundle_dir=str(tmp_path / "down"))
    found = tmp_path / "down/cpc3d"
    assert (found / "configs/metadata.json").read_text() == metadata
    assert (found / "models/model.pt").read_bytes() == FILES["models/model.pt"]
    shutil.rmtree(tmp_path / "down")
