"""The registered model: versions, promotion, submissions, serving."""
