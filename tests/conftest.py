"""Fixtures that suites of several rooms share."""

from tests.support.prefect_server import prefect_here as prefect_here
from tests.support.s3_server import s3_server as s3_server
