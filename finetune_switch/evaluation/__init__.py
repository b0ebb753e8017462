"""Questions worth asking again, and sets of them."""
