"""Retention: delete what nobody needs, and nothing else."""

from registry_async.retention._evaluate import evaluate
from registry_async.retention._in_use import InUse
from registry_async.retention._plan_values import (
    BlockedRepository,
    PlanDiff,
    PlannedImage,
    RetentionPlan,
)
from registry_async.retention._policy import Limits, Protect, Quota, RetentionPolicy, Rule
from registry_async.retention._snapshot import Manifest, RepositorySnapshot

__all__ = [
    "BlockedRepository",
    "InUse",
    "Limits",
    "Manifest",
    "PlanDiff",
    "PlannedImage",
    "Protect",
    "Quota",
    "RepositorySnapshot",
    "RetentionPlan",
    "RetentionPolicy",
    "Rule",
    "evaluate",
]
