r"""Retention: delete what nobody needs, and nothing else.

A `RetentionPolicy` says what may go. `plan` reads every repository and decides, with a reason for
every image. Somebody looks at the plan. `apply` carries it out::

    policy = RetentionPolicy.read("retention.toml")
    plan = await client.retention.plan(policy, in_use=InUse.from_kubernetes(text))
    print(plan)
    result = await client.retention.apply(plan, journal="plan.journal")

`evaluate` is the decision alone, without a client: for tests of a policy, and for other sources.

**Rules nominate, and keep is the default.** A rule takes images by ``tags`` (globs), ``tags_regex``
or ``untagged = true``, and says what of these may go: ``older_than``, all but the ``keep_newest``,
or with both what is old *and* beyond the newest. Keys of a rule are "and", patterns of a list are
"or". All patterns fit whole names. The order of rules means nothing.

**An image is a digest with all its tags.** It goes only if each of its tags is nominated. With a
rule for ``pr-*``, an image tagged ``pr-1`` and ``stable`` stays: nobody nominated ``stable``.

**The newest are counted in images**, before ages are looked at. Protected and undated images,
signatures and parts take no place among them, and of equal age at the border all stay. With
``tags_regex = ['pr-(?P<group>\d+)-.*']`` and ``keep_newest = 2`` two images of each pull request
stay. With ``order = "semver"`` the newest is the highest version, and a tag that is no version
stays. A time that is missing, in the future or before 2013 makes an image undated: it stays.

**Protections always win.** ``protect.tags`` and the others, images in use (`InUse`), and the
``min_images_left`` newest of each repository, one by default.

**Multi-architecture images have parts**, which have no tags. Without ``manifests=`` nothing tells
whose they are: then a repository with an index, or with tags that the image list lacks, is blocked,
and images without a tag stay. With `OciManifests` parts stay and go with their indexes, and
signatures (``sha256-….sig``, or a manifest with a ``subject``) with what they belong to.

**Quotas** delete, of what the rules nominate, only the oldest that it takes to come down to a
target. With a quota, protecting one image may make another go.

**Reasons.** Where several hold, the first is given. An image stays as ``protected_tag``,
``protected_digest``, ``protected_repository``, ``in_use``, ``too_young`` (younger than the policy
lets anything go), ``newest``, ``not_old_enough``, ``no_rule``, ``undated``, ``not_a_version``,
``part_of_kept``, ``signature_of_kept``, ``last_images`` (of ``min_images_left``),
``quota_reached``, ``blocked``. It goes by a ``rule``, as ``part_of_deleted`` or as
``signature_of_deleted``. `RetentionPlan.explain` says it in a sentence.

**What happens between the plan and the run** keeps images and never deletes more. Before each batch
the repository is read and judged again; what is in use now is added; a tag that the plan does not
show keeps an image. Indexes go first, their parts only when a fresh reading shows that nothing has
them. A batch is sent once: after a failure the repository is read anew. If the service says that
it deleted something else, the run stops at once.

**What retention cannot know.** Who pulls what, so list what runs. Pushes: ``createdAt`` is when an
image was built, so an old build that was pushed a minute ago is old; ``younger_than`` does not
protect it, a tag does. Whose parts images are, where neither the image list nor a tag shows their
index: only its digest, in use or protected, keeps them. And one request: the API has no conditional
deletes, so what others change between the last reading and the deletion itself, such as a new tag
on an old image, may be lost. Push through tags of their own, and collect in a quiet hour.
"""

from registry_async.retention._evaluate import evaluate
from registry_async.retention._in_use import InUse
from registry_async.retention._manifests import OciManifests
from registry_async.retention._plan_values import (
    PlanDiff,
    RetentionPlan,
)
from registry_async.retention._planned import BlockedRepository, PlannedImage
from registry_async.retention._policy import RetentionPolicy
from registry_async.retention._policy_values import Limits, Protect, Quota, Rule
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
