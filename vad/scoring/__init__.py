"""From a trained member to one score a frame: errors, post-processing, fusion, ensembles, pictures of errors."""
