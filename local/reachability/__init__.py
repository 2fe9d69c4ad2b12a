"""Who in a VPC can open a TCP connection to whom, worked out from what EC2's describe calls say; no packet is sent.

Limits: IPv4, and VPCs that are peered, no transit gateway; machines meet at their private addresses, the fixed one
where they have it; a machine has one interface. It reads rules as AWS documents them and does not prove that AWS follows its documents.
"""

from local.reachability.matrix import Cell, Matrix, matrix
from local.reachability.paths import Step, Verdict, reach
from local.reachability.read import read_vpc
from local.reachability.vpc import INTERNET, Place, Vpc, together

__all__ = ["INTERNET", "Cell", "Matrix", "Place", "Step", "Verdict", "Vpc", "matrix", "reach", "read_vpc", "together"]
