"""What a scan asks for next, as plain decisions: nothing is sent here."""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Hashable
from operator import attrgetter
from random import Random
from typing import Any

import attrs
import pytest

from registry_async import Image, Registry, Repository
from registry_async._pagination import PageSource, RawPage
from registry_async._scan.frontier import (
    Errand,
    Frontier,
    ImagesPage,
    Lists,
    Project,
    RegistriesPage,
    RepositoriesPage,
    Task,
)

SIZE = 10


async def never(offset: int, limit: int) -> RawPage[Any]:
    raise AssertionError("the frontier sends nothing")


def source(key: str) -> PageSource[Any]:
    identity: Any = attrgetter(key)

    def of(item: object) -> Hashable:
        name: Hashable = identity(item)
        return name

    return PageSource(never, of, counts=True)


def make_project(label: str = "one") -> Project:
    lists = Lists(source("id"), lambda _: source("name"), lambda *_: source("digest"))
    return Project(label, lists, SIZE)


def make(kind: type[Any], **known: Any) -> Any:
    """Make a model of which only some members matter."""
    rest = {
        each.name: () if each.name in ("tags", "layers") else None for each in attrs.fields(kind)
    }
    return kind(**(rest | known))


class World:
    """What there is, answered as a service would."""

    def __init__(self, registries: int, repositories: int, images: int) -> None:
        self.counts = registries, repositories, images
        self.asked: Counter[str] = Counter()
        self.images_found = 0

    def answer(self, frontier: Frontier, task: Task) -> None:
        """Take in the page that a task asks for."""
        registries, repositories, images = self.counts
        match task:
            case RegistriesPage():
                page = self._page(
                    task, registries, lambda n: make(Registry, id=f"r{n}", name=f"r{n}")
                )
                for found in task.reading.take(task.offset, task.plan, page):
                    for registry in found:
                        frontier.add_registry(task.project, registry)
                task.project.listed = task.reading.whole
            case RepositoriesPage():
                page = self._page(task, repositories, lambda n: make(Repository, name=f"p{n}"))
                for names in task.reading.take(task.offset, task.plan, page):
                    frontier.add_repositories(task.work, list(names))
            case ImagesPage():
                page = self._page(task, images, lambda n: make(Image, digest=f"sha256:{n}"))
                for some in task.reading.take(task.offset, task.plan, page):
                    self.images_found += len(some)
            case Errand():
                return
        self.asked[type(task).__name__] += 1
        frontier.came(task)

    def _page(self, task: Any, total: int, item: Any) -> RawPage[Any]:
        end = min(total, task.offset + SIZE)
        return RawPage([item(number) for number in range(task.offset, end)], total)


def make_frontier(*projects: Project, concurrency: int = 4, images: bool = True) -> Frontier:
    return Frontier(list(projects), concurrency=concurrency, page_size=SIZE, images=images)


@pytest.mark.parametrize("seed", range(20))
def test_everything_is_asked_for_once_in_whatever_order_it_comes(seed: int) -> None:
    random = Random(seed)
    counts = random.randrange(0, 40), random.randrange(0, 30), random.randrange(0, 60)
    world, project = World(*counts), make_project()
    frontier = make_frontier(project, concurrency=random.choice([1, 3, 8]))
    under_way: list[Task] = []
    while True:
        while (task := frontier.next(0)) is not None and len(under_way) < 8:
            under_way.append(task)
        if task is not None:
            under_way.append(task)
        if not under_way:
            break
        world.answer(frontier, under_way.pop(random.randrange(len(under_way))))
    registries, repositories, images = counts
    assert frontier.exhausted
    assert frontier.listed
    assert world.images_found == registries * repositories * images
    assert frontier.room.used == 0
    pages = max(1, -(-images // SIZE))
    assert world.asked["ImagesPage"] == registries * repositories * pages
    assert world.asked["RepositoriesPage"] == registries * max(1, -(-repositories // SIZE))
    assert frontier.repositories_open == frontier.registries_open == 0


def test_pages_that_wait_leave_no_room_for_more() -> None:
    world, project = World(1, 30, 1), make_project()
    frontier = make_frontier(project, concurrency=2)
    tasks = deque[Task]()
    while (task := frontier.next(0)) is not None:
        if isinstance(task, ImagesPage):
            tasks.append(task)
        else:
            world.answer(frontier, task)
    # Twice the concurrency, and not one page more while they wait for a consumer.
    assert len(tasks) == 4
    world.answer(frontier, tasks.popleft())
    assert not isinstance(frontier.next(1), ImagesPage)
    assert isinstance(frontier.next(0), ImagesPage)


def test_nothing_is_asked_of_a_project_that_is_held() -> None:
    held, free = make_project("held"), make_project("free")
    frontier = make_frontier(held, free)
    held.held = True
    first = frontier.next(0)
    assert isinstance(first, RegistriesPage)
    assert first.project is free
    assert frontier.next(0) is None
    assert frontier.held
    # What was given back comes first, once it may.
    held.held = False
    task = frontier.next(0)
    assert isinstance(task, RegistriesPage)
    held.held = True
    frontier.give_back(task)
    assert frontier.next(0) is None
    held.held = False
    assert frontier.next(0) is task


def test_registries_that_are_given_up_are_asked_for_nothing_more() -> None:
    world, project = World(2, 5, 1), make_project()
    frontier = make_frontier(project)
    task = frontier.next(0)
    assert task is not None
    world.answer(frontier, task)
    first, second = project.open
    under_way = frontier.next(0)
    frontier.give_up(first)
    frontier.give_up(second)
    assert frontier.next(0) is None
    assert isinstance(under_way, RepositoriesPage)
    assert not under_way.wanted
    assert frontier.exhausted
    assert frontier.registries_open == 0


def test_errands_come_last_and_not_for_what_was_given_up() -> None:
    world, project = World(1, 1, 1), make_project()
    frontier = make_frontier(project)

    async def run() -> None:
        raise AssertionError("the frontier runs nothing")

    frontier.add_errand(Errand(project, None, run))
    task = frontier.next(0)
    assert isinstance(task, RegistriesPage)
    world.answer(frontier, task)
    assert isinstance(frontier.next(0), RepositoriesPage)
    errand = frontier.next(0)
    assert isinstance(errand, Errand)
    frontier.add_errand(errand)
    frontier.give_up_project(project)
    assert frontier.next(0) is None
