"""Fitted detectors as ONNX graphs, which run without PyTorch."""

from vae_anomaly.export.onnx_export import export_onnx

__all__ = ["export_onnx"]
