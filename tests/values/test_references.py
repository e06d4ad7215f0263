"""References to images, in Docker's grammar."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from registry_async import ImageReference

DIGEST = "sha256:" + "a1" * 32


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        (
            f"cr.selcloud.ru/prod/team/app:1.2@{DIGEST}",
            ("cr.selcloud.ru", "prod", "team/app", "1.2", DIGEST),
        ),
        ("cr.selcloud.ru/prod/app", ("cr.selcloud.ru", "prod", "app", None, None)),
        ("cr.selcloud.ru/prod:tag", ("cr.selcloud.ru", "prod", "", "tag", None)),
        (f"cr.selcloud.ru/prod@{DIGEST}", ("cr.selcloud.ru", "prod", "", None, DIGEST)),
        ("localhost/prod/app:v1", ("localhost", "prod", "app", "v1", None)),
        ("127.0.0.1:5000/prod/app:v1", ("127.0.0.1:5000", "prod", "app", "v1", None)),
        ("[::1]:5000/prod/app", ("[::1]:5000", "prod", "app", None, None)),
        ("registry:5000/p/a__b/c.d/e---f", ("registry:5000", "p", "a__b/c.d/e---f", None, None)),
    ],
)
def test_reference_has_its_parts_and_gives_its_text_back(
    text: str, parts: tuple[str | None, ...]
) -> None:
    reference = ImageReference.parse(text)
    found = (
        reference.host,
        reference.registry,
        reference.repository,
        reference.tag,
        reference.digest,
    )
    assert found == parts
    assert str(reference) == text


@pytest.mark.parametrize(
    "text",
    [
        "",
        "app",
        "app:1",
        "library/nginx:1",  # nothing is taken to be on Docker Hub
        "cr.selcloud.ru",
        "cr.selcloud.ru/",
        "cr.selcloud.ru/prod/",
        "cr.selcloud.ru//app",
        "cr.selcloud.ru/prod//app",
        "cr.selcloud.ru/Prod/app",
        "cr.selcloud.ru/prod/app:",
        "cr.selcloud.ru/prod/app:-x",
        "cr.selcloud.ru/prod/app:a/b",
        f"cr.selcloud.ru/prod/app:{'x' * 129}",
        "cr.selcloud.ru/prod/app@",
        "cr.selcloud.ru/prod/app@sha256:abc",
        f"cr.selcloud.ru/prod/app@{DIGEST.upper()}",
        f"cr.selcloud.ru/prod/app@{DIGEST}0",
        f"cr.selcloud.ru/prod/{'a/' * 130}b",
        "cr.selcloud.ru:port/prod/app",
        "https://cr.selcloud.ru/prod/app",
        " cr.selcloud.ru/prod/app",
        "cr.selcloud.ru/prod/app\n",
    ],
)
def test_what_is_no_reference_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="image reference"):
        ImageReference.parse(text)


def test_parts_are_checked_however_a_reference_is_made() -> None:
    with pytest.raises(ValueError, match="tag"):
        ImageReference("cr.selcloud.ru", "prod", "app", "no tag")
    with pytest.raises(ValueError, match="host"):
        ImageReference("prod", "app", "x")


names = st.from_regex(r"[a-z0-9]{1,5}([._-][a-z0-9]{1,5}){0,2}", fullmatch=True)


@given(
    host=st.from_regex(r"[a-z][a-z0-9]{0,5}\.[a-z]{2,3}(:[0-9]{1,5})?", fullmatch=True),
    path=st.lists(names, min_size=1, max_size=4),
    tag=st.none() | st.from_regex(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,20}", fullmatch=True),
    digest=st.none() | st.just(DIGEST),
)
def test_text_and_reference_are_the_same_thing(
    host: str, path: list[str], tag: str | None, digest: str | None
) -> None:
    text = f"{host}/{'/'.join(path)}"
    text += "" if tag is None else f":{tag}"
    text += "" if digest is None else f"@{digest}"
    reference = ImageReference.parse(text)
    assert str(reference) == text
    assert (reference.path, reference.tag, reference.digest) == ("/".join(path), tag, digest)
