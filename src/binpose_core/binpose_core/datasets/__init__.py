"""BOP data sets and folders of images."""
