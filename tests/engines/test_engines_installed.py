"""Tests of an engine that is not installed skip: where all should be there, one that is missing fails."""

import os

import pytest

pytestmark = pytest.mark.engines


@pytest.mark.skipif(os.environ.get("ENGINES") != "all", reason="ENGINES=all asks for all of them, as .ci/run does")
def test_every_engine_can_be_imported():
    import boto3
    import dask
    import distributed
    import duckdb
    import moto
    import polars as pl
    import pyspark
    import ray
    import s3fs

    for module in (boto3, dask, distributed, duckdb, moto, pl, pyspark, ray, s3fs):
        assert module.__version__
