"""Labels per frame in the files of other tools."""
