"""The JSON samples of the provider's reference text.

The reference comes as the text of a web page, whose collapsible JSON viewer left a dash before each
member. `extract` takes the samples out of it; the result is committed as a JSON file, so that tests
read plain data, and one test holds the file to the text.
"""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any, Final

REFERENCE_PATH: Final = Path(__file__).parent.parent / "contract" / "api-reference-v2.2.txt"
SAMPLES_PATH: Final = Path(__file__).parent.parent / "contract" / "reference-samples.json"

# The reference's sections in their order; some headings occur in both versions of the service.
_SECTIONS: Final = (
    ("List registries", "listRegistriesV1"),
    ("Create registry", "createRegistry"),
    ("Get registry information", "getRegistry"),
    ("List integrated clusters", "listClusters"),
    ("Initiate garbage collection", "startGarbageCollection"),
    ("Get garbage collection size", "getGarbageSize"),
    ("List repositories", "listRepositoriesV1"),
    ("Delete repository", "deleteRepository"),
    ("Get repository information", "getRepository"),
    ("Clean up repository", "cleanupRepository"),
    ("List images", "listImagesV1"),
    ("Delete manifest", "deleteManifest"),
    ("List layers.", "listLayers"),
    ("Create authentication token", "createTokenV1"),
    ("Revoke token", "revokeTokenV1"),
    ("Refresh token", "refreshTokenV1"),
    ("List registries", "listRegistries"),
    ("List repositories", "listRepositories"),
    ("List images", "listImages"),
    ("List tokens", "listTokens"),
    ("Create token", "createToken"),
    ("Get token information", "getToken"),
    ("Update token", "updateToken"),
    ("Refresh token", "refreshToken"),
    ("Regenerate token", "regenerateToken"),
    ("Revoke token", "revokeToken"),
)
_VIEWER_DASH: Final = re.compile(r'(?<!\w)- (?=["{\[])')
_SAMPLE: Final = re.compile(r"(Request|Response) samples\n- (Payload|\d+)\n(?:- \d+\n)*")

Sample = dict[str, Any]


def extract(text: str) -> list[Sample]:
    """Take the samples out of the reference's text.

    Raises:
        ValueError: The text has other sections than those known, or a sample is not JSON.
    """
    text = _VIEWER_DASH.sub("", text)
    samples: list[Sample] = []
    sections = iter(_SECTIONS)
    # The page's title and the paragraph under it come before the first section.
    position = text.index("\nList registries\n") + 1
    while position < len(text.rstrip()):
        heading, operation_id = next(sections, ("", ""))
        if not heading or not text.startswith(f"{heading}\n", position):
            raise ValueError(f"expected the section {heading!r} at {text[position:][:40]!r}")
        while True:
            found = _SAMPLE.search(text, position)
            if found is None:
                raise ValueError(f"{heading}: no response sample")
            start = min(at for at in (text.find(c, found.end()) for c in "{[") if at >= 0)
            body, position = json.JSONDecoder().raw_decode(text, start)
            kind = found[1].lower()
            sample: Sample = {"section": heading, "operation_id": operation_id, "kind": kind}
            if kind == "response":
                sample["status"] = int(found[2])
            samples.append(sample | {"body": body})
            if kind == "response":
                break
    if missing := [heading for heading, _ in sections]:
        raise ValueError(f"sections not found: {missing}")
    return samples


def samples() -> list[Sample]:
    """Read the committed samples.

    Each has `section` (its heading), `operation_id`, `kind` (`request` or `response`), `status`
    (responses only: the reference shows the first status that it lists) and `body`.
    """
    read: list[Sample] = json.loads(SAMPLES_PATH.read_text(encoding="utf-8"))
    return read
