"""From a CAD file to the poses of parts in a bin: command line, pipeline in one process, model bundles, reports."""

from binpose_pipeline.bundle import PipelineBundle, load_bundle, save_bundle
from binpose_pipeline.pipeline import Pipeline

__all__ = ["Pipeline", "PipelineBundle", "load_bundle", "save_bundle"]
