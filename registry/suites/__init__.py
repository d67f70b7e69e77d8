"""Several data sets as one board: entries by sets, mean rank, worst case, and how sure one can be of them."""
