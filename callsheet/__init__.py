"""From a manifest of trained actors to finished videos.

This package is the domain: plain Python that imports without Prefect, torch or a network. The flows and
tasks beside it put Prefect around it; see README.md for the tree.
"""

__version__ = "0.1.0"
