"""How a knowledge base finds things: words (BM25), vectors (exact or HNSW), and their fusion."""
