"""The command line, the node that runs all stages in one process, and the reports."""

from binpose_pipeline.bundle import PipelineBundle, load_bundle, save_bundle
from binpose_pipeline.pipeline import Pipeline

__all__ = ["Pipeline", "PipelineBundle", "load_bundle", "save_bundle"]
