"""Upload a packed bundle to a Hugging Face model repository: the files of the zip, and no other."""

from __future__ import annotations

import contextlib
import hashlib
import os
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from medvol.data.files import checksum

from ..packages.contents import Contents, check_contents
from .unpacking import unpack

_THEIRS = {".gitattributes"}  # written by the hub itself
_MADE = {"README.md"}  # made from the package's other files, by another version of medvol perhaps
_HUB = "https://huggingface.co"


@dataclass(frozen=True)
class Pushed:
    """What was uploaded, or would be.

    Attributes:
        files: paths in the repository.
        address: where they can be seen.
    """

    files: list[str]
    address: str


def push(package: str | Path, repository: str, private: bool = True, dry_run: bool = False) -> Pushed:
    """Upload the files of a packed bundle as one commit, tagged with the bundle's version.

    The repository's top level is the bundle's folder, so that ``python -m monai.bundle download --source
    huggingface_hub`` can use it; ``README.md`` there is ``docs/README.md`` of the package, below the facts that the
    hub reads from its first lines.

    Args:
        package: the zip that ``python -m medvol pack`` wrote.
        repository: ``owner/name``; it is made if need be.
        private: whether only its owner sees it; a repository that exists must agree.
        dry_run: only list the files; nothing is asked of the hub.

    Returns:
        The paths and the address.

    Raises:
        FileNotFoundError: no such package.
        ValueError: the name, the package or its passport is not as it must be; no token; the version has been
            published with other files.
        ImportError: huggingface_hub is not installed.
        OSError: the hub refuses, or cannot be reached.
    """
    package = Path(package)
    _check_name(repository)
    if not package.is_file():
        raise FileNotFoundError(f"a packed bundle is expected at {package}; found none; run 'python -m medvol pack'")
    with tempfile.TemporaryDirectory() as folder:
        unpacked = unpack(package, Path(folder))
        contents = check_contents(unpacked)
        files = _files(unpacked, contents)
        if dry_run:
            home = os.environ.get("HF_ENDPOINT", _HUB).rstrip("/")
            return Pushed(sorted(files), f"{home}/{repository}/tree/{contents.version}")
        with _sentences(repository):
            return _upload(files, contents, repository, private)


def _check_name(repository: str) -> None:
    problem = "" if repository.count("/") == 1 else "no owner, or more than one"
    with contextlib.suppress(ImportError):  # a dry run can do without the library
        from huggingface_hub.utils import validate_repo_id

        try:
            validate_repo_id(repository)
        except ValueError as error:
            problem = problem or str(error)
    if problem:
        raise ValueError(
            f"a repository must be given as owner/name, as the Hugging Face hub takes it; found {repository!r} "
            f"({problem}); correct it"
        )


def _files(unpacked: Path, contents: Contents) -> dict[str, Path]:
    """What goes up, by path in the repository."""
    if contents.passport is None:
        raise ValueError(
            f"the package of {contents.name} must hold models/passport.json; found none; pack the bundle again"
        )
    page = unpacked / "docs" / "README.md"
    if not page.is_file():
        raise ValueError(f"the package of {contents.name} must hold docs/README.md; found none; pack the bundle again")
    from ..packages.card import model_card, without_front_matter  # which needs torch, and a missing zip does not

    card = model_card(unpacked)
    facts = card[: len(card) - len(without_front_matter(card))]  # license and tags, as the hub reads them
    (unpacked / "README.md").write_text(f"{facts}{page.read_text(encoding='utf-8')}", encoding="utf-8")
    return {file.relative_to(unpacked).as_posix(): file for file in unpacked.rglob("*") if file.is_file()}


def _upload(files: dict[str, Path], contents: Contents, repository: str, private: bool) -> Pushed:
    from huggingface_hub import CommitOperationAdd, HfApi, get_token

    token = get_token()
    if not token:
        raise ValueError(
            "push must know who you are; found no token of the Hugging Face hub; run 'hf auth login', or set HF_TOKEN"
        )
    api = HfApi(token=token)
    address = str(api.create_repo(repository, private=private, repo_type="model", exist_ok=True))
    pushed = Pushed(sorted(files), f"{address.rstrip('/')}/tree/{contents.version}")
    _check_visibility(api.repo_info(repository, repo_type="model").private, repository, private)
    tags = {tag.name for tag in api.list_repo_refs(repository, repo_type="model").tags}
    if contents.version in tags:
        _check_same(api, files, repository, contents.version)
        return pushed
    there = set(api.list_repo_files(repository, repo_type="model"))
    if foreign := sorted(there - set(files) - _THEIRS):
        raise ValueError(
            f"{repository} must hold nothing but this bundle; found {', '.join(foreign[:10])} as well; remove that on "
            "the hub, or push to a repository of its own"
        )
    commit = api.create_commit(
        repository, [CommitOperationAdd(path, file) for path, file in sorted(files.items())], repo_type="model",
        commit_message=f"{contents.name} {contents.version}",
    )  # fmt: skip
    api.create_tag(repository, tag=contents.version, revision=commit.oid, repo_type="model")
    return pushed


def _check_visibility(found: bool, repository: str, private: bool) -> None:
    if bool(found) != private:
        words = ("private", "public") if private else ("public", "private")
        remedy = "push with --public" if private else "push without --public"
        raise ValueError(
            f"{repository} must be {words[0]}, as you asked; found that it exists and is {words[1]}; nothing was "
            f"uploaded: change that on the hub, or {remedy}"
        )


def _check_same(api: Any, files: dict[str, Path], repository: str, version: str) -> None:
    tree = api.list_repo_tree(repository, recursive=True, revision=version, repo_type="model")
    there = {entry.path: entry for entry in tree if hasattr(entry, "blob_id") and entry.path not in _THEIRS | _MADE}
    files = {path: file for path, file in files.items() if path not in _MADE}
    differ = sorted(
        set(files) ^ set(there) | {path for path in set(files) & set(there) if not _same(files[path], there[path])}
    )
    if differ:
        raise ValueError(
            f"version {version} of {repository} must stay as it was published; found other files now: "
            f"{', '.join(differ[:10])}; raise 'version' in metadata.json, and pack and push again"
        )


def _same(file: Path, entry: Any) -> bool:
    """Whether a file is what the hub has: large ones are known by their SHA-256, others by git's hash."""
    if entry.lfs is not None:
        return entry.lfs.sha256 == checksum(file)
    content = file.read_bytes()
    return entry.blob_id == hashlib.sha1(b"blob %d\0" % len(content) + content, usedforsecurity=False).hexdigest()


@contextlib.contextmanager
def _sentences(repository: str) -> Iterator[None]:
    """Turn what the hub says into what to do."""
    try:
        from huggingface_hub import errors
    except ImportError as error:
        raise ImportError(
            "push expects the package huggingface_hub; found none; run pip install -e '.[export]' in medvol's "
            "folder and push again"
        ) from error
    try:
        yield
    except (
        OSError,
        RuntimeError,
        errors.HTTPError,
    ) as error:  # RuntimeError: its uploader, which is not written in Python
        status = getattr(getattr(error, "response", None), "status_code", None)
        remedies = {
            401: "the token is not valid: run 'hf auth login' again",
            403: f"the token may not write to {repository}: make one with write access, or choose another owner",
            404: f"there is no {repository} that the token may see: correct the name",
            409: "somebody else is pushing there: push again",
        }
        remedy = remedies.get(status, "check the connection and the proxy settings, and push again")
        reason = f"the answer {status}" if status else f"{type(error).__name__}: {str(error).partition(chr(10))[0]}"
        raise OSError(f"the Hugging Face hub must take the files of {repository}; found {reason}; {remedy}") from error
