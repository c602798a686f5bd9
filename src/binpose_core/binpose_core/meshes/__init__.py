"""Triangle meshes: readers, repair, decimation and distances."""
