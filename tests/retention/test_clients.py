"""Retention on both clients, against the sandbox."""

from pathlib import Path

import pytest

from registry_async.retention import RetentionPlan, RetentionPolicy
from registry_async.sandbox import Sandbox
from tests.retention.builders import policy

RULES = """
[[rule]]
name = "all but the newest"
tags = ["*"]
keep_newest = 2
older_than = "1d"
"""


@pytest.fixture
def rules() -> RetentionPolicy:
    return policy(RULES)


def test_sync_client_plans_and_applies(rules: RetentionPolicy, tmp_path: Path) -> None:
    with Sandbox() as sandbox, sandbox.sync_client() as client:
        sandbox.clear_requests()
        plan = client.retention.plan(rules)
        assert {record.method for record in sandbox.requests} == {"GET"}
        assert plan.base_url == sandbox.base_url
        assert plan.deletions != ()
        assert plan.blocked != ()
        result = client.retention.apply(
            RetentionPlan.from_json(plan.to_json()), journal=tmp_path / "journal"
        )
        assert result.complete
        assert result.deleted == plan.deletions
        assert result.freed_bytes == plan.freed_bytes
        again = client.retention.plan(rules)
        assert again.deletions == ()


@pytest.mark.anyio
async def test_async_client_plans_what_the_sync_one_does(rules: RetentionPolicy) -> None:
    async with Sandbox() as sandbox, sandbox.client() as client:
        plan = await client.retention.plan(rules, concurrency=3)
        assert plan.deletions != ()
        assert all(each.tags for each in plan.deletions)
        assert str(plan)
        assert "<table>" in plan._repr_html_()
