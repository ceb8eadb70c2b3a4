"""The engines of the tests work."""


def test_workers_have_this_library(ray_cluster, spark_session):
    def version(*_):
        from vae_anomaly.version import __version__

        return __version__

    here = version()
    assert ray_cluster.get(ray_cluster.remote(version).remote()) == here
    assert spark_session.sparkContext.parallelize([0], 1).map(version).collect() == [here]
