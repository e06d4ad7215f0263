"""Images in use, as references and as Kubernetes lists them."""

import json
from typing import Any

import pytest

from registry_async import ImageReference
from registry_async.retention import InUse
from tests.retention.builders import digest

A = "cr.selcloud.ru/prod/team/a:1"
B = "cr.selcloud.ru/prod/team/b:2"


def texts(in_use: InUse) -> set[str]:
    return {str(each) for each in in_use.references}


def pod(**spec: Any) -> dict[str, Any]:
    return {"kind": "Pod", "spec": spec}


def cluster(*items: Any, **more: Any) -> str:
    return json.dumps({"kind": "List", "items": list(items), **more})


def test_references_are_sorted_each_once_and_added_up() -> None:
    one = InUse.from_references([B, A, ImageReference.parse(A)])
    assert [str(each) for each in one.references] == [A, B]
    assert one == InUse.from_references([A]) | InUse.from_references([B])


@pytest.mark.parametrize(
    ("references", "problem"),
    [
        ([], "nothing"),
        (A, "sequence"),
        ([A, "nginx"], r"references\[1\]"),
        ([A, 1], r"references\[1\]"),
    ],
)
def test_unusable_list_is_never_nothing_in_use(references: Any, problem: str) -> None:
    with pytest.raises(ValueError, match=problem):
        InUse.from_references(references)


def test_every_container_of_every_workload_counts() -> None:
    template = {"spec": {"containers": [{"image": "cr.selcloud.ru/prod/deploy:1"}]}}
    found = InUse.from_kubernetes(
        cluster(
            {
                **pod(
                    containers=[{"image": A}, {"name": "without an image"}],
                    initContainers=[{"image": "cr.selcloud.ru/prod/init:1"}],
                    ephemeralContainers=[{"image": "cr.selcloud.ru/prod/debug:1"}],
                    volumes=[
                        {"name": "v", "image": {"reference": "cr.selcloud.ru/prod/data:1"}},
                        {"name": "w", "emptyDir": {}},
                    ],
                ),
                "status": {
                    "containerStatuses": [
                        {
                            "image": A,
                            "imageID": f"docker-pullable://cr.selcloud.ru/prod/team/a@{digest('x')}",
                        }
                    ],
                    "initContainerStatuses": None,
                    "ephemeralContainerStatuses": [
                        {
                            "image": "sha256:0123",
                            "imageID": f"cr.selcloud.ru/prod/debug@{digest('y')}",
                        }
                    ],
                },
            },
            {"kind": "Deployment", "spec": {"replicas": 0, "template": template}},
            {
                "kind": "CronJob",
                "spec": {
                    "jobTemplate": {"spec": {"template": {"spec": {"containers": [{"image": B}]}}}}
                },
            },
        )
    )
    assert texts(found) == {
        A,
        B,
        "cr.selcloud.ru/prod/init:1",
        "cr.selcloud.ru/prod/debug:1",
        "cr.selcloud.ru/prod/data:1",
        "cr.selcloud.ru/prod/deploy:1",
        f"cr.selcloud.ru/prod/team/a@{digest('x')}",
        f"cr.selcloud.ru/prod/debug@{digest('y')}",
    }


def test_short_names_and_bare_ids_are_passed_over() -> None:
    found = InUse.from_kubernetes(
        cluster(
            pod(containers=[{"image": image} for image in (A, "nginx", "library/nginx:1")]),
            {
                "status": {
                    "containerStatuses": [{"image": "x", "imageID": f"docker://{digest('x')}"}]
                }
            },
        )
    )
    assert texts(found) == {A}


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("", "not JSON"),
        ("NAME READY\n", "not JSON"),
        (cluster(pod(containers=[{"image": A}]))[:-3], "not JSON"),
        ("[]", "object"),
        ("null", "object"),
        ("{}", "nothing"),
        (cluster(), "nothing"),
        (cluster(pod(containers=[{"image": "nginx"}])), "nothing"),
        ('{"kind": "Status", "status": "Failure"}', "nothing"),
        (cluster(pod(containers=[{"image": A}]), metadata={"continue": "x"}), "cut short"),
        ('{"items": {}}', "items: must be an array"),
        (cluster(pod(containers={})), r"items\[0\]\.spec\.containers: must be an array"),
        (cluster(pod(containers=["x"])), r"items\[0\]\.spec\.containers\[0\]: must be an object"),
        (cluster(pod(containers=[{"image": 1}])), r"containers\[0\]\.image: must be a text"),
        (
            cluster(
                pod(containers=[{"image": A}]), pod(containers=[{"image": "cr.selcloud.ru/A"}])
            ),
            r"items\[1\]\.spec\.containers\[0\]\.image",
        ),
        ("[" * 100_000, "not JSON"),
    ],
)
def test_list_that_cannot_be_read_is_told_with_its_place(text: str, problem: str) -> None:
    with pytest.raises(ValueError, match=problem):
        InUse.from_kubernetes(text)
