"""The local cloud: the AWS APIs that the mesh needs, served by moto in this process, with moto's gaps bridged.

`Cloud` is the whole API; `MachineInstance` and `ElasticAddress` are what it tells. Every bridged gap is one
named function in a file of its service, installed by `gaps.install`.
"""

from local.cloud.cloud import Cloud
from local.cloud.state import ElasticAddress, MachineInstance

__all__ = ["Cloud", "ElasticAddress", "MachineInstance"]
