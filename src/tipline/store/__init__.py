"""Where tipline keeps things: the lake (DuckDB: claims, published sets, logs) and control (SQLite: receipts, runs)."""
