"""The sync module is what the generator writes, and the generator guesses nothing."""

from __future__ import annotations

import ast
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Final

import pytest

from registry_async._generate_sync import UnmappedError, generate

ROOT: Final = Path(__file__).parents[2]
PACKAGE: Final = ROOT / "registry_async"
SYNC: Final = PACKAGE / "sync.py"


@pytest.fixture
def package(tmp_path: Path) -> Path:
    """A copy of the package, to change."""
    copy = tmp_path / "registry_async"
    shutil.copytree(PACKAGE, copy, ignore=shutil.ignore_patterns("__pycache__", "sandbox"))
    return copy


def change(package: Path, file: str, old: str, new: str) -> None:
    path = package / file
    text = path.read_text(encoding="utf-8")
    assert old in text
    path.write_text(text.replace(old, new, 1), encoding="utf-8")


def add_to_images(package: Path, method: str) -> None:
    """Put a method, written without indentation, into the class of the images."""
    lines = "".join(f"    {line}\n" if line else "\n" for line in method.splitlines())
    old = "    async def _get(\n"
    change(package, "_resources/images.py", old, f"{lines}\n{old}")


def run_generator(package: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "registry_async._generate_sync", *arguments],
        cwd=package.parent,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def ruff(*arguments: str, text: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "ruff", *arguments, "--stdin-filename", str(SYNC), "-"],
        input=text,
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def formatted(text: str) -> str:
    finished = ruff("format", text=text)
    assert finished.returncode == 0, finished.stderr
    return finished.stdout


def test_the_committed_file_is_what_the_generator_writes() -> None:
    assert SYNC.read_text(encoding="utf-8") == generate(PACKAGE), (
        "run: python -m registry_async._generate_sync"
    )


def test_the_file_is_as_the_formatter_and_the_linter_want_it() -> None:
    text = generate(PACKAGE)
    assert formatted(text) == text
    linted = ruff("check", text=text)
    assert linted.returncode == 0, linted.stdout


def test_check_passes_when_nothing_changed_and_writes_nothing(package: Path) -> None:
    before = (package / "sync.py").stat()
    finished = run_generator(package, "--check")
    assert (finished.returncode, finished.stdout, finished.stderr) == (0, "", "")
    assert (package / "sync.py").stat().st_mtime_ns == before.st_mtime_ns


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("def images(self) -> Images:", "def pictures(self) -> Images:"),
        ("page_size: int = DEFAULT_PAGE_SIZE", "page_size: int = 10"),
        ("Delete a repository with all its images", "Remove a repository with all its images"),
        ("# Generated from", "# Made from"),
    ],
)
def test_check_shows_what_differs_anywhere_in_the_file(package: Path, old: str, new: str) -> None:
    change(package, "sync.py", old, new)
    edited = (package / "sync.py").read_text(encoding="utf-8")
    finished = run_generator(package, "--check")
    assert finished.returncode == 1
    removed = [line for line in finished.stdout.splitlines() if line.startswith("-")]
    assert any(new in line for line in removed)
    assert (package / "sync.py").read_text(encoding="utf-8") == edited


def test_check_fails_when_there_is_no_file(package: Path) -> None:
    (package / "sync.py").unlink()
    finished = run_generator(package, "--check")
    assert finished.returncode == 1
    assert "+class RegistryClient(BaseClient):" in finished.stdout
    assert not (package / "sync.py").exists()


@pytest.mark.parametrize("present", ["", "from registry_async.models import Gone\n", "def ("])
def test_it_writes_the_file_anew_whatever_is_there(package: Path, present: str) -> None:
    (package / "sync.py").write_text(present)
    finished = run_generator(package)
    assert finished.returncode == 0, finished.stderr
    assert (package / "sync.py").read_text(encoding="utf-8") == SYNC.read_text(encoding="utf-8")


def test_a_new_method_is_mapped_with_its_signature_and_docstring(package: Path) -> None:
    add_to_images(
        package,
        '''async def rename(self, digest: str, *, names: dict[str, int | None] = {}) -> Image:
    """Rename an image, for use with ``async with``.

    Args:
        digest: The digest. Then ``await client.aclose()`` it.
        names: The names.
    """
    return await self._fetch(digest, names)
''',
    )
    assert '''    def rename(self, digest: str, *, names: dict[str, int | None] = {}) -> Image:
        """Rename an image, for use with ``with``.

        Args:
            digest: The digest. Then ``client.close()`` it.
            names: The names.
        """
        return self._lease.run(self._async.rename, digest, names=names)
''' in generate(package)


def test_a_new_list_and_what_is_not_public(package: Path) -> None:
    add_to_images(
        package,
        '''def list_old(self, *, search: str | None = None) -> AsyncPaginator[Layer]:
    """List the old ones."""
    return self._search(search)

async def _search(self, search: str | None) -> AsyncPaginator[Layer]:
    raise NotImplementedError
''',
    )
    text = generate(package)
    assert (
        '''    def list_old(self, *, search: str | None = None) -> Paginator[Layer]:
        """List the old ones."""
        return Paginator(self._async.list_old(search=search), self._lease)
'''
        in text
    )
    assert "_search" not in text


def test_a_new_resource_is_mapped(package: Path) -> None:
    (package / "_resources" / "webhooks.py").write_text(
        "from registry_async._resources._base import Resource\n\n\n"
        "class AsyncWebhooks(Resource):\n"
        '    """The webhooks."""\n\n'
        "    async def delete(self, webhook_id: str) -> None:\n"
        '        """Delete one."""\n'
        '        await self._call("deleteWebhook", {"webhook_id": webhook_id})\n'
    )
    change(
        package,
        "client.py",
        "    @property\n    def images(self)",
        "    @property\n"
        "    def webhooks(self) -> AsyncWebhooks:\n"
        '        """The webhooks of a registry."""\n'
        "        return self._webhooks\n\n"
        "    @property\n    def images(self)",
    )
    change(
        package,
        "client.py",
        "from registry_async._resources import (\n",
        "from registry_async._resources.webhooks import AsyncWebhooks\n"
        "from registry_async._resources import (\n",
    )
    text = generate(package)
    assert "from registry_async._resources.webhooks import AsyncWebhooks\n" in text
    assert "class Webhooks(Facade[AsyncWebhooks]):\n" in text
    assert (
        '''    @property
    def webhooks(self) -> Webhooks:
        """The webhooks of a registry."""
        return self._resource(Webhooks, self._async.webhooks)
'''
        in text
    )
    assert "        self._lease.run(self._async.delete, webhook_id)\n" in text
    assert formatted(text) == text


def test_a_text_with_quotes_and_backslashes_is_kept(package: Path) -> None:
    add_to_images(
        package,
        """async def size(self, mark: str = '"\\\\') -> int:
    \"\"\"Do.\"\"\"
    return 1
""",
    )
    assert """def size(self, mark: str = '"\\\\') -> int:""" in generate(package)


def test_options_that_are_spelled_once_are_passed_on(package: Path) -> None:
    change(
        package,
        "_resources/images.py",
        "class AsyncImages(",
        '''class Options(TypedDict, total=False):
    """The options."""

    depth: int


class AsyncImages(''',
    )
    change(
        package,
        "_resources/images.py",
        "from operator",
        "from typing import Literal, Unpack, overload\nfrom operator",
    )
    add_to_images(
        package,
        '''@overload
def walk(self, *, deep: Literal[True], **options: Unpack[Options]) -> AsyncPaginator[Image]: ...
@overload
def walk(self, **options: Unpack[Options]) -> AsyncPaginator[Image]: ...
def walk(self, *, deep: bool = True, depth: int = 1) -> AsyncPaginator[Image]:
    """Walk."""
    raise NotImplementedError

async def run(self, digest: str, **options: Unpack[Options]) -> int:
    """Run."""
    return 1
''',
    )
    text = generate(package)
    assert (
        '''
    @overload
    def walk(self, **options: Unpack[Options]) -> Paginator[Image]: ...

    def walk(self, *, deep: bool = True, depth: int = 1) -> Paginator[Image]:
        """Walk."""
        return Paginator(any_overload(self._async.walk)(deep=deep, depth=depth), self._lease)

    def run(self, digest: str, **options: Unpack[Options]) -> int:
        """Run."""
        return self._lease.run(self._async.run, digest, **options)
'''
        in text
    )
    assert re.search(
        r"from registry_async._resources.images import \(?\s*AsyncImages, Options", text
    )


def test_a_class_is_found_wherever_it_lives(package: Path) -> None:
    (package / "webhooks" / "_inner").mkdir(parents=True)
    (package / "webhooks" / "_inner" / "hooks.py").write_text(
        "class AsyncHooks:\n"
        '    """The hooks."""\n\n'
        "    async def delete(self) -> None:\n"
        '        """Delete them."""\n'
    )
    text = generate(package)
    assert "from registry_async.webhooks._inner.hooks import AsyncHooks\n" in text
    assert "class Hooks(Facade[AsyncHooks]):\n" in text


def test_an_exported_coroutine_function_runs_on_a_lease_of_its_own(package: Path) -> None:
    (package / "webhooks.py").write_text(
        "from registry_async._secrets import hide\n"
        '__all__ = ["count_hooks"]\n\n\n'
        "async def count_hooks(token: str, *, exact: bool = False) -> int:\n"
        '    """Count the hooks."""\n'
        "    token = hide(token)\n"
        "    return len(token)\n"
    )
    text = generate(package)
    assert (
        '''def count_hooks(token: str, *, exact: bool = False) -> int:
    """Count the hooks."""
    token = hide(token)
    return run_alone(webhooks.count_hooks, token, exact=exact)
'''
        in text
    )
    assert '    "count_hooks",\n' in text


def test_a_secret_argument_is_hidden_first_of_all(package: Path) -> None:
    add_to_images(
        package,
        '''async def unlock(self, name: str, secret: str) -> None:
    """Unlock it."""
    secret = hide(secret)
    await self._call(name, secret)
''',
    )
    assert '''        """Unlock it."""
        secret = hide(secret)
        self._lease.run(self._async.unlock, name, secret)
''' in generate(package)


METHODS: Final = {
    "an unknown decorator": (
        '@cache\ndef size(self) -> int:\n    """Do."""\n    return 1\n',
        "unknown decorator",
    ),
    "an async generator": (
        'async def all(self) -> AsyncIterator[Image]:\n    """Do."""\n    yield self\n',
        "generator",
    ),
    "a generator": (
        'def all(self) -> Iterator[int]:\n    """Do."""\n    yield 1\n',
        "generator",
    ),
    "an async property": (
        '@property\nasync def size(self) -> int:\n    """Do."""\n    return 1\n',
        "async under a decorator",
    ),
    "an unknown name in an annotation": (
        'async def size(self, unit: Unit) -> int:\n    """Do."""\n    return 1\n',
        "unknown name: Unit",
    ),
    "an unknown name in a default": (
        'async def size(self, unit: int = UNIT) -> int:\n    """Do."""\n    return 1\n',
        "unknown name: UNIT",
    ),
    "an unknown name within quotes": (
        'async def size(self, unit: "Unit | None") -> int:\n    """Do."""\n    return 1\n',
        "unknown name: Unit",
    ),
    "no annotation": (
        'async def size(self, unit) -> int:\n    """Do."""\n    return 1\n',
        "does not annotate unit",
    ),
    "no return annotation": (
        'async def size(self):\n    """Do."""\n    return 1\n',
        "does not say what it returns",
    ),
    "any number of arguments": (
        'async def size(self, *units: str) -> int:\n    """Do."""\n    return 1\n',
        "parameters of an unknown kind",
    ),
    "an async object from a coroutine": (
        'async def all(self) -> AsyncPaginator[Image]:\n    """Do."""\n    return self\n',
        "gives AsyncPaginator",
    ),
    "a plain method with a plain result": (
        'def size(self) -> int:\n    """Do."""\n    return 1\n',
        "is not async and gives int",
    ),
    "a protocol": (
        'async def __call__(self) -> int:\n    """Do."""\n    return 1\n',
        "unknown protocol: __call__",
    ),
    "a protocol that the base lacks": (
        'async def __aenter__(self) -> int:\n    """Do."""\n    return 1\n',
        "Facade lacks __enter__",
    ),
    "a secret that shows": (
        'async def unlock(self, token: str) -> None:\n    """Do."""\n    await self._call(token)\n',
        "does not hide token",
    ),
    "no docstring": ("async def size(self) -> int:\n    return 1\n", "has no docstring"),
    "a docstring about event loops": (
        'async def size(self) -> int:\n    """Do it in the event loop."""\n    return 1\n',
        "speaks of 'event loop'",
    ),
    "a docstring that gets too wide": (
        f'async def size(self) -> int:\n    """Do it.\n\n    {"x" * 95}\n    """\n    return 1\n',
        "too wide",
    ),
    "a class attribute": ("limit = 100\n", "has more than methods"),
    "a public attribute": (
        'async def size(self) -> int:\n    """Do."""\n    self.cached = 1\n    return 1\n',
        "sets cached",
    ),
}


@pytest.mark.parametrize("case", METHODS)
def test_what_it_has_no_rule_for_is_an_error(package: Path, case: str) -> None:
    method, problem = METHODS[case]
    add_to_images(package, method)
    with pytest.raises(UnmappedError, match=problem):
        generate(package)


CHANGES: Final = {
    "a name imported under another": (
        "_resources/images.py",
        "import Image, Layer",
        "import Image as Picture, Layer",
        ") -> AsyncPaginator[Image]:",
        ") -> AsyncPaginator[Picture]:",
        "under another name",
    ),
    "two things of one name": (
        "_resources/images.py",
        "from registry_async.models import Image, Layer",
        "from registry_async.models import Image\nfrom elsewhere import Layer, Registry",
        ") -> AsyncPaginator[Image]:",
        ") -> AsyncPaginator[Registry]:",
        "Registry means",
    ),
    "an awaitable argument": (
        "_resources/images.py",
        "from operator",
        "from collections.abc import Awaitable\nfrom operator",
        "search: str | None = None,",
        "search: Awaitable[str] | None = None,",
        "without a sync one: Awaitable",
    ),
    "a resource of no known class": (
        "client.py",
        "from registry_async._resources import (",
        "from elsewhere import AsyncPictures\nfrom registry_async._resources import (",
        "def images(self) -> AsyncImages:",
        "def images(self) -> AsyncPictures:",
        "without a sync one: AsyncPictures",
    ),
    "a sentence that is gone": (
        "client.py",
        "One client may be used by many tasks at once",
        "One client may be used often",
        "in one\n    event loop after the other",
        "anywhere",
        "nothing says any more",
    ),
    "an exported function without clients": (
        "scanning.py",
        '__all__ = ["scan"]',
        '__all__ = ["look", "scan"]',
        "\n@overload\ndef scan(",
        '\ndef look(at: AsyncRegistryClient) -> AsyncScan:\n    """L."""\n\n@overload\ndef scan(',
        "does not begin with clients",
    ),
}


@pytest.mark.parametrize("case", CHANGES)
def test_a_change_that_it_cannot_follow_is_an_error(package: Path, case: str) -> None:
    file, *replacements, problem = CHANGES[case]
    change(package, file, *replacements[:2])
    change(package, file, *replacements[2:])
    with pytest.raises(UnmappedError, match=problem):
        generate(package)


def test_the_error_names_the_place(package: Path) -> None:
    add_to_images(package, "async def size(self) -> int:\n    return 1\n")
    with pytest.raises(UnmappedError, match=r"registry_async\._resources\.images:\d+: "):
        generate(package)
    finished = run_generator(package)
    assert finished.returncode == 1
    assert "_resources.images" in finished.stderr


def test_every_body_is_one_line_after_the_secrets_are_hidden() -> None:
    methods = [
        method
        for node in ast.parse(SYNC.read_text(encoding="utf-8")).body
        if isinstance(node, ast.ClassDef)
        for method in node.body
        if isinstance(method, ast.FunctionDef) and not method.name.startswith("_")
    ]
    assert len(methods) > 30
    for method in methods:
        body = [each for each in method.body if "hide(" not in ast.unparse(each)]
        if ast.get_docstring(method) is None:
            assert "overload" in map(ast.unparse, method.decorator_list)
        else:
            body = body[1:]
        assert len(body) == 1, method.name
