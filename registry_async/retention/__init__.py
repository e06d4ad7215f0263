"""Retention: delete what nobody needs, and nothing else."""

from registry_async.retention._evaluate import evaluate
from registry_async.retention._in_use import InUse
from registry_async.retention._manifests import OciManifests
from registry_async.retention._plan_values import (
    BlockedRepository,
    PlanDiff,
    PlannedImage,
    RetentionPlan,
)
from registry_async.retention._policy import Limits, Protect, Quota, RetentionPolicy, Rule
from registry_async.retention._result import (
    FailedImage,
    RetentionProgress,
    RetentionResult,
    SkippedImage,
    UnexpectedDeletion,
)
from registry_async.retention._retention import AsyncRetention
from registry_async.retention._snapshot import Manifest, RepositorySnapshot

__all__ = [
    "AsyncRetention",
    "BlockedRepository",
    "FailedImage",
    "InUse",
    "Limits",
    "Manifest",
    "OciManifests",
    "PlanDiff",
    "PlannedImage",
    "Protect",
    "Quota",
    "RepositorySnapshot",
    "RetentionPlan",
    "RetentionPolicy",
    "RetentionProgress",
    "RetentionResult",
    "Rule",
    "SkippedImage",
    "UnexpectedDeletion",
    "evaluate",
]
