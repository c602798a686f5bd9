"""From a CAD file to the poses of parts in a bin: command line, pipeline in one process, model bundles, reports."""

from binpose.bundle import ModelBundle, load_bundle, save_bundle
from binpose.pipeline import Pipeline

__all__ = ["ModelBundle", "Pipeline", "load_bundle", "save_bundle"]
