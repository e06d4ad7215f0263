"""Pages of images, for those who read millions: what is in them, without an object a layer.

Scans and reports use `layer_sizes` instead of ``image.layers``: the layers of an image that came
from a list become `Layer` objects only when somebody looks at them. All other fields of an image
are plain attributes and cost nothing.
"""

from collections.abc import Iterable

from registry_async.models import Image

__all__ = ["layer_sizes"]


def layer_sizes(images: Iterable[Image]) -> dict[str, int]:
    """Return the size of every layer of some images by its digest, each layer once.

    Should the service give one digest two sizes, one of them is returned.

    Args:
        images: The images, such as those of one page.
    """
    return {layer.digest: layer.size for image in images for layer in image.layers}
