"""The Python API: links as decorated classes, and manifests as values; the same core does the work."""

from djlink_manifest.api.atlas import Applied, Atlas, apply, load, plan
from djlink_manifest.api.link import LinkDecorator as Link
from djlink_manifest.api.results import Pulled, Status
from djlink_manifest.api.schema import LazySchema

__all__ = ["Applied", "Atlas", "LazySchema", "Link", "Pulled", "Status", "apply", "load", "plan"]
