"""Images (manifests) of a repository, and their layers."""

from operator import attrgetter

from registry_async._arguments import ApiVersion, check_api_version, check_digest, check_search
from registry_async._converter import decode_image_or_layers
from registry_async._pagination import DEFAULT_PAGE_SIZE, AsyncPaginator
from registry_async._resources._base import Resource
from registry_async._resources._calls import decode_response, list_decoder_of
from registry_async.errors import UnexpectedResponseError
from registry_async.models import Image, Layer


class AsyncImages(Resource):
    """The images of a repository."""

    def list(
        self,
        registry_id: str,
        repository: str,
        *,
        search: str | None = None,
        page_size: int = DEFAULT_PAGE_SIZE,
        offset: int = 0,
        api_version: ApiVersion = 2,
    ) -> AsyncPaginator[Image]:
        """List the images with their layers (operations ``listImages`` and ``listImagesV1``).

        Args:
            registry_id: The id of the registry.
            repository: The name of the repository.
            search: Give only images that the service finds for this text; only with API v2.
            page_size: The images to ask for at once, 1 or more; API v1 gives all at once.
            offset: The images to skip.
            api_version: 2, or 1 for the whole list in one answer.

        Returns:
            A paginator. Nothing is sent before it is iterated.

        Raises:
            ValueError: An argument makes no sense.
        """
        version = check_api_version(api_version)
        text = check_search(search)
        if version == 1 and search is not None:
            raise ValueError("search needs api_version=2: the v1 image list takes no query")
        return self._paginate(
            Image,
            attrgetter("digest"),
            list_decoder_of(Image, key="images" if version == 2 else None),
            "listImages" if version == 2 else "listImagesV1",
            {"registry_id": registry_id, "repository": repository},
            query={"search": text},
            counts=None if version == 1 else "filtered" if text else "total",
            page_size=page_size,
            offset=offset,
            whole=version == 1,
        )

    async def get(self, registry_id: str, repository: str, reference: str) -> Image:
        """Get an image (operation ``listLayers``).

        Where the service answers with the layers alone, the image is looked up in the list.

        Args:
            registry_id: The id of the registry.
            repository: The name of the repository.
            reference: The digest of the image, or a tag.

        Raises:
            ValueError: An argument cannot be sent.
            NotFoundError: There is no such registry, repository or image.
            UnexpectedResponseError: The service knows the image, but does not list it.
            ContainerRegistryError: The request failed otherwise.
        """
        found = await self._get(registry_id, repository, reference)
        if isinstance(found, Image):
            return found
        async for image in self.list(registry_id, repository):
            if reference == image.digest or reference in image.tags:
                return image
        raise UnexpectedResponseError("the image has layers but is in no list", "GET")

    async def list_layers(
        self, registry_id: str, repository: str, reference: str
    ) -> tuple[Layer, ...]:
        """List the layers of an image, lowest first (operation ``listLayers``).

        Args:
            registry_id: The id of the registry.
            repository: The name of the repository.
            reference: The digest of the image, or a tag.

        Raises:
            ValueError: An argument cannot be sent.
            NotFoundError: There is no such registry, repository or image.
            ContainerRegistryError: The request failed otherwise.
        """
        found = await self._get(registry_id, repository, reference)
        return found.layers if isinstance(found, Image) else found

    async def delete(
        self, registry_id: str, repository: str, digest: str, *, conflict_timeout: float = 0
    ) -> None:
        """Delete an image with every tag that points at it (operation ``deleteManifest``).

        Args:
            registry_id: The id of the registry.
            repository: The name of the repository.
            digest: The digest of the image, such as ``sha256:…``; the service takes no tag here.
            conflict_timeout: The seconds to wait for a running garbage collection to end.

        Raises:
            ValueError: An argument makes no sense.
            NotFoundError: There is no such registry, repository or image.
            ConflictError: A garbage collection runs, or another manifest refers to the image.
            ContainerRegistryError: The request failed otherwise.
        """
        advice = "images.get() gives the digest of a tag, and every tag of the image goes with it"
        reference = check_digest(digest, "digest", advice)
        await self._delete(
            "deleteManifest",
            {"registry_id": registry_id, "repository": repository, "reference": reference},
            conflict_timeout=conflict_timeout,
        )

    async def _get(
        self, registry_id: str, repository: str, reference: str
    ) -> Image | tuple[Layer, ...]:
        response = await self._call(
            "listLayers",
            {"registry_id": registry_id, "repository": repository, "reference": reference},
        )
        # Lists of API v1 have no body where there is nothing to list.
        return () if response.status == 204 else decode_response(decode_image_or_layers, response)
